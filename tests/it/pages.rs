//! The pages are in order: what they link to is there, what they show word for
//! word is that, and every one of them is found from the README.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mailtrail_tests::root;

/// Words that a test's name has at least, where a page names one.
const WORDS_LEAST: usize = 4;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder whose names end so.
fn files(folder: &str, ends: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.to_string_lossy().ends_with(ends))
        .collect();
    paths.sort();
    paths
}

/// All pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut pages = files("docs", ".md");
    pages.extend(files("", ".md"));
    pages.extend(files("charts/mailtrail", ".md"));
    pages.extend(files("tests/cluster", ".md"));
    assert!(pages.len() > 12, "{pages:?}");
    pages
}

/// A page without what stands between fences.
fn prose(page: &str) -> String {
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a heading is found by, as GitHub makes it.
fn anchors(page: &str) -> BTreeSet<String> {
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The targets of links within the checkout.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', ' ']).next());
    let outside = ["http://", "https://", "mailto:"];
    targets
        .filter(|target| !outside.iter().any(|scheme| target.starts_with(scheme)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut lost = Vec::new();
    let mut count = 0;
    for place in pages() {
        let page = read(&place);
        for link in links(&page) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => place.clone(),
                file => place.with_file_name(file),
            };
            let is_there =
                target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !is_there {
                lost.push(format!("{}: {link}", place.display()));
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn every_page_is_found_from_the_readme() {
    let readme = links(&read(&root().join("README.md")));
    for page in files("docs", ".md") {
        let name = format!("docs/{}", page.file_name().expect("a name").display());
        let is_linked = readme
            .iter()
            .any(|link| link.split('#').next() == Some(&name));
        assert!(is_linked, "{name} is not linked from the README");
    }
}

#[test]
fn the_page_on_the_api_shows_the_programs_as_they_are() {
    let page = read(&root().join("docs/API.md"));
    let mut shown = 0;
    for (folder, ends, language) in [
        ("examples/api", ".sh", "sh"),
        ("examples/api", ".py", "python"),
        ("examples/api", ".mjs", "js"),
        ("examples/api/go/rewrite", ".go", "go"),
        ("examples/api/go/events", ".go", "go"),
        ("examples/api/go/webhook", ".go", "go"),
        ("examples/api/rust", ".rs", "rust"),
    ] {
        for file in files(folder, ends) {
            let name = file.strip_prefix(root()).expect("below the root").display();
            let code = read(&file);
            let block = format!("[{name}](../{name})\n\n```{language}\n{code}```\n");
            assert!(page.contains(&block), "docs/API.md does not show {name}");
            shown += 1;
        }
    }
    let blocks = page.matches("\n```\n").count() - page.matches("```yaml").count();
    assert_eq!(blocks, shown, "docs/API.md shows something else, too");
}

#[test]
fn every_test_that_the_page_on_threats_names_is_there() {
    let page = read(&root().join("docs/THREATS.md"));
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let codes = page.split('`').skip(1).step_by(2);
    let named: BTreeSet<_> = codes
        .filter(|code| code.chars().all(is_part) && code.split('_').count() >= WORDS_LEAST)
        .collect();
    assert!(named.len() > 50, "{named:?}");
    let mut sources = String::new();
    for package in ["core", "crds", "dataplane", "operator", "tests"] {
        gather(&root().join(package), &mut sources);
    }
    for name in named {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "docs/THREATS.md names {name}, which no test is"
        );
    }
}

/// The text of all Rust files below a folder.
fn gather(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, text);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            text.push_str(&read(&path));
        }
    }
}
