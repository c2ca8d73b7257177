//! Real mails: what holds for every byte of them, and a second opinion on
//! which links there are.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use lol_html::html_content::Element;
use lol_html::{Settings, doc_comments, element};

use super::support::{in_chunks, job, lossy};
use crate::rewrite::markup::Markup;
use crate::rewrite::walk::{View, Walk};
use crate::rewrite::{Job, html};

/// Every HTML document of the corpus.
fn documents() -> Vec<(PathBuf, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut folders = vec![corpus];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the corpus") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "html") {
                let bytes = std::fs::read(&path).expect("a document");
                found.push((path, bytes));
            }
        }
    }
    assert!(found.len() >= 100, "{} documents", found.len());
    found
}

/// A document and the same with its markup written otherwise.
fn variants(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = lossy(bytes);
    vec![
        bytes.to_vec(),
        text.replace("href=\"", "HREF =\n\"")
            .replace("<a ", "<A\t")
            .into_bytes(),
        text.replace("&amp;", "&")
            .replace("\">", "\" / >")
            .into_bytes(),
        text.replace("&amp;", "&#38;")
            .replace("<td", "<td\r\n x=<y")
            .into_bytes(),
        bytes
            .iter()
            .flat_map(|b| {
                if *b == b'e' {
                    vec![b'e', 0xff]
                } else {
                    vec![*b]
                }
            })
            .collect(),
        bytes[..bytes.len() / 2].to_vec(),
    ]
}

#[test]
fn outside_of_the_edits_every_byte_of_the_corpus_stays() {
    for (path, bytes) in documents() {
        for input in variants(&bytes) {
            let view = View {
                bytes: &input,
                base: 0,
                last: true,
            };
            let mut walk = Walk::new(job(), Markup::new());
            walk.advance(&view);
            let mut output = Vec::new();
            let edits = walk.end_with_edits(&view, &mut output);
            let (mut expected, mut at) = (Vec::new(), 0);
            for edit in edits {
                let removed = lossy(&input[edit.range.clone()]);
                assert!(
                    !removed.contains('<') || removed.starts_with("<img"),
                    "{}: {removed}",
                    path.display()
                );
                expected.extend_from_slice(&input[at..edit.range.start]);
                expected.extend_from_slice(edit.with.as_bytes());
                at = edit.range.end;
            }
            expected.extend_from_slice(&input[at..]);
            assert!(output == expected, "{}", path.display());
        }
    }
}

#[test]
fn the_corpus_gives_the_same_bytes_in_chunks_and_when_rewritten_again() {
    for (path, bytes) in documents() {
        for input in variants(&bytes) {
            let (output, rewritten) = html(job(), &input);
            let chunked = in_chunks(job(), input.chunks(1021));
            assert!(chunked == (output.clone(), rewritten), "{}", path.display());
            let (again, _) = html(job(), &output);
            assert!(again == output, "{}", path.display());
        }
    }
}

/// The values of all links that `lol_html` finds, conditional comments included.
fn referee(bytes: &[u8], vml: bool) -> Vec<String> {
    let found = RefCell::new(Vec::new());
    let take = |element: &mut Element<'_, '_>| {
        let name = element.tag_name();
        let is_link = matches!(name.as_str(), "a" | "area") || vml && name.starts_with("v:");
        if let Some(value) = element.get_attribute("href").filter(|_| is_link) {
            found.borrow_mut().push(value);
        }
        Ok(())
    };
    let inside = |comment: &mut lol_html::html_content::Comment<'_>| {
        let text = comment.text();
        if let Some(markup) = text
            .starts_with("[if")
            .then(|| text.split_once("]>"))
            .flatten()
            && let Some((markup, _)) = markup.1.rsplit_once("<![endif]")
        {
            found.borrow_mut().extend(referee(markup.as_bytes(), true));
        }
        Ok(())
    };
    let settings = Settings::new()
        .with_strict(false)
        .append_element_content_handler(element!("*", take))
        .append_document_content_handler(doc_comments!(inside));
    let mut rewriter = lol_html::HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(bytes).expect("no strict mode");
    rewriter.end().expect("no strict mode");
    found.into_inner()
}

#[test]
fn another_parser_finds_the_same_links_in_the_corpus() {
    let mut links = 0;
    for (path, bytes) in documents() {
        // A noscript is live for us and text for the referee.
        if lossy(&bytes).contains("<noscript") {
            continue;
        }
        for input in variants(&bytes) {
            let mut job: Job = job();
            job.tracking.clicks = false;
            let (_, rewritten) = html(job, &input);
            let found: Vec<_> = rewritten
                .report
                .links
                .iter()
                .map(|l| l.target.clone())
                .collect();
            let expected: Vec<_> = referee(&input, true)
                .iter()
                .map(|value| {
                    let decoded =
                        mailtrail_core::character_reference::decode_attribute(value.as_bytes());
                    decoded.trim_matches(|c: char| c <= ' ').to_owned()
                })
                .collect();
            assert_eq!(found, expected, "{}", path.display());
            links += found.len();
        }
    }
    assert!(links > 1000, "{links} links");
}
