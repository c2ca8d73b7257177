//! Cases 65 and 66, and what holds for every input: bytes, chunks, time.

use mailtrail_core::policy::Reason;

use super::support::{check, clicks_only, in_chunks, job, left, lossy, rewrite};
use crate::rewrite::html;
use crate::rewrite::report::{PixelReason, WarningCode};

#[test]
fn case_65_text_mark_and_line_ends_are_kept() {
    check(
        "\u{feff}<p>\r\n\u{fc}\u{1f600}\r\r\n<a href='https://e.com/'>\u{0}\u{7f}x</a>\n\r",
        "\u{feff}<p>\r\n\u{fc}\u{1f600}\r\r\n<a href='{https://e.com/}'>\u{0}\u{7f}x</a>\n\r",
    );
}

#[test]
fn case_66_quoted_printable_is_warned_of() {
    for input in [
        "<a href=3D\"https://e.com/\">x</a>",
        "<a href=3D'https://e.com/'>x</a>",
        "<a href=3Dhttps://e.com/>x</a>",
    ] {
        let done = left(input, &[Reason::Relative]);
        assert_eq!(done.warnings(), [WarningCode::LooksQuotedPrintable]);
    }
}

#[test]
fn bytes_that_are_no_utf_8_come_back() {
    let input = b"<p>\xff\xc3(\xed\xa0\x80<a title='\xe9' href='https://e.com/1'>\x80</a><a href='https://e.com/\xe9'>";
    let (output, rewritten) = html(clicks_only(), input);
    assert_eq!(rewritten.report.links[0].reason, None);
    // Which character is meant depends on a charset that is not known here.
    assert_eq!(rewritten.report.links[1].reason, Some(Reason::Invalid));
    let end = b"'>\x80</a><a href='https://e.com/\xe9'>";
    assert!(output.starts_with(&input[..31]) && output.ends_with(end));
}

#[test]
fn where_parsers_disagree_the_rest_is_unchanged() {
    for odd in ["<select><xmp>", "<select><style>", "<frameset><script>"] {
        let input = format!("{odd}<a href=https://e.com/>x</a></body>");
        let done = rewrite(job(), &input);
        assert_eq!(done.output, input);
        assert_eq!(done.warnings(), [WarningCode::Unparsable]);
        assert!(matches!(
            done.no_pixel(),
            Some(PixelReason::Unparsable | PixelReason::Frameset)
        ));
    }
}

/// A small generator (xorshift64*), so that a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Documents tried; some 3 s without optimisation.
const ROUNDS: usize = 1500;

/// Pieces that mails, and nobody in their right mind, are made of.
const PIECES: &[&str] = &[
    "<a href=\"https://e.com/1\">",
    "<a href='https://e.com/2' data-no-track>",
    "</a>",
    "x",
    " ",
    "\r\n",
    "<a href=https+notrack://e.com>",
    "https://e.com",
    "<p title='</body>'>",
    "</body>",
    "</html>",
    "<body>",
    "<!--",
    "-->",
    "--!>",
    "<!--[if mso]>",
    "<![endif]-->",
    "<!--[if !mso]><!-->",
    "<!--<![endif]-->",
    "<v:rect href='https://e.com/3'>",
    "<style>",
    "</style>",
    "<script>",
    "</script>",
    "<!",
    "<",
    ">",
    "'",
    "\"",
    "=",
    "/",
    "<template>",
    "</template>",
    "<select>",
    "</select>",
    "<svg>",
    "</svg>",
    "<![CDATA[",
    "]]>",
    "<title>",
    "</title>",
    "{{",
    "}}",
    "{{mailtrail:pixel}}",
    "{{ses:openTracker}}",
    "\u{fc}",
    "\0",
    "&amp;",
    "<area href=//e.com>",
    "<img src='https://links.shop.example/o/x'>",
    "<textarea>",
    "</textarea",
    "<noscript>",
    "<math>",
    "<mi>",
    "<frameset>",
    "\t ",
    " class=untracked",
    "<a ses:tags=x href=https://e.com/4 >",
    "<a href='{{mailtrail:optout}}'>",
    "<plaintext>",
    "mso-hide",
    "<a style=mso-hide href=https://e.com/3>",
];

#[test]
fn any_document_gives_the_same_bytes_in_any_chunks() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0x5eed);
    let rounds = std::env::var("ROUNDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(ROUNDS);
    println!("SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..rounds {
        let input: String = (0..random.below(40))
            .map(|_| PIECES[random.below(PIECES.len())])
            .collect();
        let mut job = job();
        job.tracking.opens = random.below(4) > 0;
        job.tracking.clicks = random.below(4) > 0;
        job.tracking.pixel = [
            mailtrail_core::config::PixelPlacement::Auto,
            mailtrail_core::config::PixelPlacement::Top,
            mailtrail_core::config::PixelPlacement::Bottom,
            mailtrail_core::config::PixelPlacement::Both,
        ][random.below(4)];
        let whole = html(job.clone(), input.as_bytes());
        let mut rest = input.as_bytes();
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + random.below(rest.len().min(30)));
            chunks.push(chunk);
            rest = after;
        }
        let chunked = in_chunks(job.clone(), chunks);
        assert_eq!(
            (lossy(&chunked.0), chunked.1),
            (lossy(&whole.0), whole.1.clone()),
            "{input:?}"
        );
        let (again, _) = html(job, &whole.0);
        assert_eq!(lossy(&again), lossy(&whole.0), "twice: {input:?}");
    }
}

#[test]
fn small_chunks_of_a_long_token_take_linear_work() {
    // Looked at anew with every chunk, this comment would cost 10^11 steps.
    let input = format!(
        "<!--{}--><a href=https://e.com/>x</a>",
        "> -".repeat(300_000)
    );
    let (output, rewritten) = in_chunks(clicks_only(), input.as_bytes().chunks(3));
    assert_eq!(rewritten.links.len(), 1);
    assert!(output.len() > input.len());
}

#[test]
fn inputs_made_to_be_slow_are_not() {
    for piece in [
        "<a href=https://e.com/>",
        "<a href=\"",
        "<!--",
        "<!--[if mso]>",
        "</body>",
        "<svg>",
        "<template>",
        "<script>",
        "<a ",
        "{{",
        "<",
        "<select>",
        "&",
        "<script><!--<script>",
        "<!--[if mso]><![endif]-->",
        "'\"=<",
    ] {
        let input = piece.repeat(400_000 / piece.len());
        let mut job = job();
        job.tracking.pixel = mailtrail_core::config::PixelPlacement::Both;
        let (output, _) = html(job.clone(), input.as_bytes());
        assert!(output.len() >= input.len());
        let (chunked, _) = in_chunks(job, input.as_bytes().chunks(1000));
        assert!(chunked == output, "{piece}");
    }
}
