//! The bytes of a segment: header, frames, footer. Pure; all integers are
//! little-endian. The format is told in [`super`].

/// What a segment file begins with.
const HEADER_MAGIC: &[u8; 8] = b"mtrljrn1";
/// What a footer begins with.
const FOOTER_MAGIC: &[u8; 8] = b"mtrlend1";
/// Bytes of one header; a segment has it twice.
const HEADER_BYTES: usize = 32;
/// Where the first frame begins: behind two headers.
pub(crate) const FRAMES_START: u64 = 2 * HEADER_BYTES as u64;
/// Bytes of a footer.
pub(crate) const FOOTER_BYTES: usize = 104;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEAD_BYTES: usize = 24;
/// Largest payload, in bytes: a message record of 10,000 links of some 800
/// bytes. Also what a damaged length can make us read.
pub(crate) const PAYLOAD_MAX_BYTES: usize = 8 * 1024 * 1024;
/// The bits of a time that a frame keeps: milliseconds up to the year 10889.
const TIME_BITS: u32 = 48;

/// What is known of a segment before its first record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Records of earlier segments with this sequence number or a later one are void.
    pub(crate) base: u64,
    /// The last number that was on the disk before; 0 where that is not known.
    pub(crate) follows: u64,
    /// Begins every checksum of the segment.
    pub(crate) salt: u32,
}

/// What is known of a sealed segment without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    /// As in the header.
    pub(crate) base: u64,
    /// Where the last frame ends.
    pub(crate) end: u64,
    /// The first record's number; 0 when there is none.
    pub(crate) first_seq: u64,
    /// The last record's number; 0 when there is none.
    pub(crate) last_seq: u64,
    /// The earliest time of a record, in milliseconds since 1970.
    pub(crate) first_ms: u64,
    /// The latest time of a record, in milliseconds since 1970.
    pub(crate) last_ms: u64,
    /// How many events.
    pub(crate) events: u64,
    /// How many message records.
    pub(crate) messages: u64,
    /// How many records of other kinds.
    pub(crate) others: u64,
    /// How many damaged stretches were passed over.
    pub(crate) damaged: u64,
    /// As in the header.
    pub(crate) salt: u32,
    /// As in the header.
    pub(crate) follows: u64,
}

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Its checksum as it stands there.
    pub(crate) crc: u32,
    /// Bytes of its payload.
    pub(crate) len: usize,
    /// Its sequence number.
    pub(crate) seq: u64,
    /// Its time, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// What its payload is.
    pub(crate) kind: u16,
}

// === Header ===

impl Header {
    /// The first bytes of the segment: the header, twice, so that one damaged
    /// stretch does not take the salt away.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut one = Vec::with_capacity(HEADER_BYTES);
        one.extend_from_slice(HEADER_MAGIC);
        one.extend_from_slice(&self.base.to_le_bytes());
        one.extend_from_slice(&self.follows.to_le_bytes());
        one.extend_from_slice(&self.salt.to_le_bytes());
        one.extend_from_slice(&crc32c::crc32c(&one).to_le_bytes());
        one.repeat(2)
    }

    /// Reads either copy.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        bytes
            .chunks_exact(HEADER_BYTES)
            .take(2)
            .find_map(Self::decode_one)
    }

    fn decode_one(bytes: &[u8]) -> Option<Self> {
        let crc = u32_at(bytes, HEADER_BYTES - 4)?;
        let sound =
            bytes.starts_with(HEADER_MAGIC) && crc32c::crc32c(&bytes[..HEADER_BYTES - 4]) == crc;
        sound.then_some(Self {
            base: u64_at(bytes, 8)?,
            follows: u64_at(bytes, 16)?,
            salt: u32_at(bytes, 24)?,
        })
    }
}

// === Summary ===

impl Summary {
    /// Of a segment without records.
    pub(crate) fn empty(header: Header) -> Self {
        let Header {
            base,
            follows,
            salt,
        } = header;
        Self {
            base,
            follows,
            salt,
            end: FRAMES_START,
            ..Self::default()
        }
    }

    /// How many records.
    pub(crate) fn records(&self) -> u64 {
        self.events + self.messages + self.others
    }

    /// The footer that says this.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Destructured, so that a new field is not forgotten.
        let Self {
            base,
            end,
            first_seq,
            last_seq,
            first_ms,
            last_ms,
            events,
            messages,
            others,
            damaged,
            salt,
            follows,
        } = *self;
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.extend_from_slice(FOOTER_MAGIC);
        for word in [
            base, end, first_seq, last_seq, first_ms, last_ms, events, messages, others, damaged,
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&salt.to_le_bytes());
        bytes.extend_from_slice(&follows.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the last bytes of a segment of this length; none when it is not sealed.
    pub(crate) fn decode(bytes: &[u8], segment_bytes: u64) -> Option<Self> {
        let crc = u32_at(bytes, FOOTER_BYTES - 4)?;
        let sound = bytes.len() == FOOTER_BYTES
            && bytes.starts_with(FOOTER_MAGIC)
            && crc32c::crc32c(&bytes[..FOOTER_BYTES - 4]) == crc;
        let word = |n: usize| u64_at(bytes, 8 + 8 * n);
        let summary = Self {
            base: word(0)?,
            end: word(1)?,
            first_seq: word(2)?,
            last_seq: word(3)?,
            first_ms: word(4)?,
            last_ms: word(5)?,
            events: word(6)?,
            messages: word(7)?,
            others: word(8)?,
            damaged: word(9)?,
            salt: u32_at(bytes, 88)?,
            follows: u64_at(bytes, 92)?,
        };
        let at_the_end = summary.end.checked_add(FOOTER_BYTES as u64) == Some(segment_bytes);
        (sound && at_the_end && summary.end >= FRAMES_START).then_some(summary)
    }
}

// === Frames ===

impl FrameHead {
    /// Reads the bytes before a payload; whether they are sound is [`Self::is_sound`]'s.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let word = u64_at(bytes, 16)?;
        Some(Self {
            crc: u32_at(bytes, 0)?,
            len: u32_at(bytes, 4)? as usize,
            seq: u64_at(bytes, 8)?,
            time_ms: word & ((1 << TIME_BITS) - 1),
            kind: (word >> TIME_BITS) as u16,
        })
    }

    /// Whether this can be a frame at all.
    pub(crate) fn is_plausible(&self) -> bool {
        (1..=PAYLOAD_MAX_BYTES).contains(&self.len) && self.seq != 0
    }

    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.len
    }

    /// Whether a whole frame has the checksum it says.
    pub(crate) fn is_sound(&self, frame: &[u8], salt: u32) -> bool {
        frame.len() == self.frame_bytes() && crc(salt, &frame[4..]) == self.crc
    }
}

/// Appends a frame; its checksum is left open, because the segment it will
/// stand in is not known.
pub(crate) fn push_frame(to: &mut Vec<u8>, seq: u64, time_ms: u64, kind: u16, payload: &[u8]) {
    let word = (time_ms & ((1 << TIME_BITS) - 1)) | (u64::from(kind) << TIME_BITS);
    to.reserve(FRAME_HEAD_BYTES + payload.len());
    to.extend_from_slice(&[0; 4]);
    // Payloads are bounded by PAYLOAD_MAX_BYTES, which the queue checks.
    to.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    to.extend_from_slice(&seq.to_le_bytes());
    to.extend_from_slice(&word.to_le_bytes());
    to.extend_from_slice(payload);
}

/// Walks frames that [`push_frame`] made and gives each its checksum under a
/// salt; `each` is told of every one and where it begins.
pub(crate) fn stamp(frames: &mut [u8], salt: u32, mut each: impl FnMut(FrameHead, usize)) {
    let mut at = 0;
    while let Some(head) = frames.get(at..).and_then(FrameHead::decode) {
        let end = at + head.frame_bytes();
        let crc = crc(salt, &frames[at + 4..end]);
        frames[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        each(head, at);
        at = end;
    }
}

fn crc(salt: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(salt, bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}
