//! What html5ever (scripting off) makes of a mail before and after: the same
//! tree, but for tracked addresses, markers that are gone, and the pixel.

use html5ever::tendril::TendrilSink;
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

/// Elements that the parser opens anew by itself where text or an image follows.
const FORMATTING: [&str; 14] = [
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
];

/// A link as html5ever sees it, in both.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) element: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

#[derive(Debug)]
enum Node {
    Element(Element),
    Text(String),
    Comment(String),
    Other(String),
}

#[derive(Debug)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Node>,
    /// It holds the pixel and nothing else: the parser may have opened it for
    /// the pixel alone.
    held_the_pixel: bool,
}

/// Compares the trees of both, and gives the links. `base` is that of tracking URLs.
pub(crate) fn compare(input: &[u8], output: &[u8], base: &str) -> Result<Vec<Seen>, String> {
    let before = parse(&String::from_utf8_lossy(input), base);
    let after = parse(&String::from_utf8_lossy(output), base);
    let mut seen = Vec::new();
    compare_children(&before, &after, base, &mut seen)?;
    Ok(seen)
}

fn parse(html: &str, base: &str) -> Vec<Node> {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts {
            scripting_enabled: false,
            ..TreeBuilderOpts::default()
        },
        ..ParseOpts::default()
    };
    let dom = parse_document(RcDom::default(), options).one(html);
    children_of(&dom.document, base)
}

/// The children without pixels of ours, neighbouring texts as one.
fn children_of(handle: &Handle, base: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for child in handle.children.borrow().iter() {
        match (node_of(child, base), nodes.last_mut()) {
            (None, _) => {}
            (Some(Node::Text(more)), Some(Node::Text(text))) => text.push_str(&more),
            (Some(node), _) => nodes.push(node),
        }
    }
    nodes
}

fn node_of(handle: &Handle, base: &str) -> Option<Node> {
    Some(match &handle.data {
        NodeData::Text { contents } => Node::Text(contents.borrow().to_string()),
        NodeData::Comment { contents } => Node::Comment(contents.to_string()),
        NodeData::Element { name, attrs, .. } => {
            let attributes: Vec<_> = attrs
                .borrow()
                .iter()
                .map(|a| (full_name(&a.name), a.value.to_string()))
                .collect();
            let children = children_of(handle, base);
            let held_the_pixel = children.is_empty() && !handle.children.borrow().is_empty();
            let element = Element {
                name: name.local.to_string(),
                attributes,
                children,
                held_the_pixel,
            };
            if is_pixel(&element, base) {
                return None;
            }
            Node::Element(element)
        }
        NodeData::Doctype { name, .. } => Node::Other(name.to_string()),
        NodeData::Document | NodeData::ProcessingInstruction { .. } => Node::Other(String::new()),
    })
}

fn full_name(name: &html5ever::QualName) -> String {
    match &name.prefix {
        Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", name.local),
        _ => name.local.to_string(),
    }
}

fn is_pixel(element: &Element, base: &str) -> bool {
    let start = format!("{base}/o/");
    element.name == "img"
        && element
            .attributes
            .iter()
            .any(|(name, value)| name == "src" && value.starts_with(&start))
}

fn compare_children(
    before: &[Node],
    after: &[Node],
    base: &str,
    seen: &mut Vec<Seen>,
) -> Result<(), String> {
    let mut before = before.iter().peekable();
    for b in after {
        if is_opened_for_the_pixel(b, before.peek().copied()) {
            continue;
        }
        match (before.next(), b) {
            (Some(Node::Element(a)), Node::Element(b)) if a.name == b.name => {
                compare_attributes(a, b, base, seen)?;
                compare_children(&a.children, &b.children, base, seen)?;
            }
            (Some(Node::Text(a)), Node::Text(b)) | (Some(Node::Other(a)), Node::Other(b))
                if a == b => {}
            (Some(Node::Comment(a)), Node::Comment(b)) => compare_comments(a, b, base, seen)?,
            (a, b) => return Err(differ("nodes", &a, b)),
        }
    }
    match before.next() {
        Some(missing) => Err(differ("numbers of children", missing, &())),
        None => Ok(()),
    }
}

/// Whether the parser opened a formatting element anew for the pixel: the
/// input has no such empty element in its place.
fn is_opened_for_the_pixel(after: &Node, before: Option<&Node>) -> bool {
    let Node::Element(after) = after else {
        return false;
    };
    let stood_there = matches!(before, Some(Node::Element(before))
        if before.name == after.name && before.children.is_empty());
    after.held_the_pixel && FORMATTING.contains(&after.name.as_str()) && !stood_there
}

/// Conditional comments hold markup for Outlook: their insides are compared as such.
fn compare_comments(
    before: &str,
    after: &str,
    base: &str,
    seen: &mut Vec<Seen>,
) -> Result<(), String> {
    match (outlooks(before), outlooks(after)) {
        (Some((start, a, end)), Some((same_start, b, same_end)))
            if start == same_start && end == same_end =>
        {
            compare_children(&parse(a, base), &parse(b, base), base, seen)
        }
        _ if before == after => Ok(()),
        _ => Err(differ("comments", &before, &after)),
    }
}

/// A conditional comment's condition, inside and end.
fn outlooks(comment: &str) -> Option<(&str, &str, &str)> {
    let inside = comment.starts_with("[if").then(|| comment.find("]>"))?? + 2;
    let end = comment.rfind("<![endif]").filter(|end| *end >= inside)?;
    Some((&comment[..inside], &comment[inside..end], &comment[end..]))
}

fn compare_attributes(
    before: &Element,
    after: &Element,
    base: &str,
    seen: &mut Vec<Seen>,
) -> Result<(), String> {
    let mut rest = after.attributes.iter().peekable();
    for (name, value) in &before.attributes {
        let same_name = rest.next_if(|(other, _)| other == name);
        let is_address = is_link(before) && (name == "href" || name == "xlink:href");
        match same_name {
            Some((_, other)) if is_address => seen.push(Seen {
                element: before.name.clone(),
                before: value.clone(),
                after: checked_address(value, other, base)?,
            }),
            Some((_, other)) if other == value => {}
            None if is_link(before) && crate::intact::is_removed(name) => {}
            other => return Err(differ("attributes", &(name, value), &other)),
        }
    }
    match rest.next() {
        Some(more) => Err(differ("attributes", &before.attributes, more)),
        None => Ok(()),
    }
}

/// Elements whose `href` a mail program follows; those of VML are Outlook's.
fn is_link(element: &Element) -> bool {
    matches!(&*element.name, "a" | "area") || element.name.starts_with("v:")
}

/// An address stays, becomes a tracking URL, or loses its opt-out scheme.
fn checked_address(before: &str, after: &str, base: &str) -> Result<String, String> {
    let tracked = ["c", "a"]
        .iter()
        .any(|kind| after.starts_with(&format!("{base}/{kind}/")));
    let cleaned = before.to_ascii_lowercase().contains("+notrack:");
    if before == after || tracked || cleaned {
        Ok(after.to_owned())
    } else {
        Err(differ("addresses", &before, &after))
    }
}

fn differ(what: &str, before: &dyn std::fmt::Debug, after: &dyn std::fmt::Debug) -> String {
    let cut = |shown: String| shown.chars().take(400).collect::<String>();
    format!(
        "{what} differ: {} became {}",
        cut(format!("{before:?}")),
        cut(format!("{after:?}"))
    )
}
