//! The socket under hyper, or TLS on it: counts what a head takes while it arrives, keeps
//! the connection's phase, and keeps hyper's own bare refusals back so that
//! ours, which name the limit, are sent instead.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::{Phase, Pulse};
use super::refuse::Refusal;
use super::runtime::Runtime;

/// Bytes of a request line beside its target: method, two spaces, version,
/// line end; the longest registered method has 17.
const LINE_REST_BYTES: usize = 32;

/// A connection's socket or TLS, and what was read of it beforehand.
pub(super) struct Wire<S> {
    pub(super) stream: S,
    read_before: Vec<u8>,
    pulse: Rc<Pulse>,
    runtime: Rc<Runtime>,
    protocol: Protocol,
    /// Bytes of the head that is arriving.
    head_bytes: usize,
    /// Whether its request line has not ended yet.
    in_request_line: bool,
}

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2, with prior knowledge or by ALPN.
    Http2,
}

impl<S> Wire<S> {
    /// `read_before` is what was read to tell the protocol.
    pub(super) fn new(
        stream: S,
        read_before: Vec<u8>,
        protocol: Protocol,
        (pulse, runtime): (Rc<Pulse>, Rc<Runtime>),
    ) -> Self {
        Self {
            stream,
            read_before,
            pulse,
            runtime,
            protocol,
            head_bytes: 0,
            in_request_line: false,
        }
    }

    /// Looks at bytes of HTTP/1 before hyper gets them.
    fn look(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        if matches!(self.pulse.phase(), Phase::Arriving | Phase::Idle) {
            self.runtime.pulses.enter(&self.pulse, Phase::Head);
            self.head_bytes = 0;
            // Where part of this head came with the one before, its line is
            // hyper's alone to judge.
            self.in_request_line = self.pulse.head_ended_reading.get();
        }
        if self.in_request_line {
            self.look_at_request_line(bytes)?;
        }
        self.head_bytes += bytes.len();
        let ended = bytes.ends_with(b"\r\n\r\n") || bytes.ends_with(b"\n\n");
        self.pulse.head_ended_reading.set(ended);
        Ok(())
    }

    fn look_at_request_line(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let end = memchr::memchr(b'\n', bytes);
        let line_bytes = end.unwrap_or(bytes.len());
        let line = &mut bytes[..line_bytes];
        if self.head_bytes + line.len() > self.runtime.limits.uri_bytes + LINE_REST_BYTES {
            return Err(self.refuse(Refusal::UriBytes));
        }
        // Mail clients glue `>` to links (case 86). No URI may hold one and
        // hyper would refuse the request; `)` is tolerated in the same places.
        if let Some(first) = memchr::memchr(b'>', line) {
            for byte in line[first..].iter_mut().filter(|byte| **byte == b'>') {
                *byte = b')';
            }
        }
        self.in_request_line = end.is_none();
        Ok(())
    }

    /// Whether hyper writes on its own: no request of ours is unanswered.
    fn is_refusal_of_hypers(&self) -> bool {
        self.protocol == Protocol::Http1
            && matches!(
                self.pulse.phase(),
                Phase::Arriving | Phase::Head | Phase::Idle
            )
    }

    fn refusal_like(&self, bytes: &[u8]) -> Refusal {
        match bytes.get(9..12) {
            Some(b"414") => Refusal::UriBytes,
            Some(b"431") if self.head_bytes > self.runtime.limits.head_bytes => Refusal::HeadBytes,
            Some(b"431") => Refusal::Headers,
            _ => Refusal::BadRequest,
        }
    }

    fn refuse(&self, refusal: Refusal) -> io::Error {
        self.pulse.refused.set(Some(refusal));
        io::ErrorKind::InvalidData.into()
    }
}

impl<S: AsyncRead + Unpin> Read for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.read_before.is_empty() {
            let rest = this
                .read_before
                .split_off(this.read_before.len().min(buf.remaining()));
            let mut bytes = std::mem::replace(&mut this.read_before, rest);
            if this.protocol == Protocol::Http1 {
                this.look(&mut bytes)?;
            }
            buf.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        // Rc, so that the buffer can be lent while `look` borrows the wire.
        let runtime = Rc::clone(&this.runtime);
        let mut scratch = runtime.scratch.borrow_mut();
        let room = buf.remaining().min(scratch.len());
        let mut read = ReadBuf::new(&mut scratch[..room]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
        if this.protocol == Protocol::Http1 && !read.filled().is_empty() {
            this.look(read.filled_mut())?;
        }
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_refusal_of_hypers() {
            let refusal = self.refusal_like(bytes);
            return Poll::Ready(Err(self.refuse(refusal)));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks only once all it had is written. A socket keeps nothing
        // back, TLS may.
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.pulse.phase() == Phase::Answered {
            self.runtime.pulses.enter(&self.pulse, Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
