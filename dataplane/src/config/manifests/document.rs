//! Bytes of a file → documents → domains and notices. Pure.

use std::path::Path;

use mailtrail_crds::entry::{EntryError, Facts, entry};
use mailtrail_crds::sink::sink_entry;
use mailtrail_crds::validate::Fault;
use mailtrail_crds::{DEFAULT_CLASS, GROUP, VERSION};
use serde_saphyr::{Location, MessageFormatter as _, UserMessageFormatter};

use super::node::Node;
use super::set::{Declared, DeclaredSink, Set};
use super::{Checkers, DEFAULT_NAMESPACE, DOCUMENTS_MAX, NoticeKind, Place};

/// Deepest nesting of a document: Kubernetes objects that people write stay
/// well below.
const DEPTH_MAX: usize = 64;
/// Most nodes (scalars, lists, maps) of one document.
const NODES_MAX: usize = 250_000;
/// Most events that aliases (`*x`) may repeat in one file: they are for saving a
/// few lines, not for making megabytes of a few.
const REPLAYED_MAX: usize = 10_000;
/// Deepest nesting of `List`s: one inside another is not made by any tool.
const LIST_DEPTH_MAX: u8 = 1;

/// Reads every document of a file into the set.
pub(super) fn read(file: &Path, bytes: &[u8], checkers: &Checkers, set: &mut Set) {
    if let Some(fault) = not_utf8(bytes) {
        let (line, column, rule) = fault;
        let at = Place {
            file: file.to_owned(),
            line,
            column,
        };
        return set.fault(at, "", rule);
    }
    let mut reader = bytes;
    let options = serde_saphyr::options! {
        // What stands in a manifest that is not ours may be a secret.
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED_MAX,
        },
    };
    for document in serde_saphyr::read_with_options::<_, Node>(&mut reader, options) {
        if !set.counts_document() {
            let rule = format!("has the files hold more than {DOCUMENTS_MAX} documents");
            return set.fault(Place::file(file), "", rule);
        }
        match document {
            Ok(node) => Reading {
                file,
                checkers,
                set,
            }
            .object(node, LIST_DEPTH_MAX),
            Err(error) => {
                let at = error.location().unwrap_or(Location::UNKNOWN);
                let message = UserMessageFormatter.format_message(error.without_snippet());
                let rule = format!("is no YAML: {}", message.replace(char::is_control, " "));
                set.fault(place(file, at), "", rule);
            }
        }
    }
}

/// Where a file ceases to be UTF-8, by line and column, and what is wrong there.
fn not_utf8(bytes: &[u8]) -> Option<(u64, u64, String)> {
    let error = std::str::from_utf8(bytes).err()?;
    let offset = error.valid_up_to();
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let line = before.bytes().filter(|b| *b == b'\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u64 + 1;
    let rule = format!("must be UTF-8; the byte at offset {offset} is none (counted from 0)");
    Some((line, column, rule))
}

struct Reading<'a> {
    file: &'a Path,
    checkers: &'a Checkers,
    set: &'a mut Set,
}

impl Reading<'_> {
    fn object(&mut self, node: Node, lists: u8) {
        let text = |key| node.field(key).and_then(Node::text).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        if api_version.is_empty() || kind.is_empty() {
            let rule = "is no Kubernetes object: it needs apiVersion and kind";
            return self.fault(&node, "", rule.to_owned());
        }
        if (group, kind) == ("", "List") && lists > 0 {
            let items = node.take("items").map(Node::into_items).unwrap_or_default();
            return items
                .into_iter()
                .for_each(|item| self.object(item, lists - 1));
        }
        let is_sink = kind == "EventSink";
        if group == GROUP && kind != "TrackingDomain" && !is_sink {
            let rule = format!(
                "must be TrackingDomain or EventSink, the kinds of {GROUP} that are declared"
            );
            return self.fault(&node, "kind", rule);
        }
        if group != GROUP {
            let what = NoticeKind::OtherKind(format!("{kind} of {api_version}"));
            return self.set.notice(self.place(node.at), what);
        }
        if version != VERSION {
            let rule = format!("must be {GROUP}/{VERSION}");
            return self.fault(&node, "apiVersion", rule);
        }
        match is_sink {
            true => self.sink(&node),
            false => self.domain(&node),
        }
    }

    fn sink(&mut self, node: &Node) {
        let mut sink = match self.checkers.sink.check(&node.to_json()) {
            Ok(sink) => sink,
            Err(faults) => return self.faults(node, faults),
        };
        if sink.spec.class_name != DEFAULT_CLASS {
            let at = self.place(node.locate("spec.className"));
            let class = sink.spec.class_name;
            return self.set.notice(at, NoticeKind::OtherClass(class));
        }
        in_a_namespace(&mut sink.metadata.namespace);
        let places = 0..sink.spec.domains.len();
        let domain_at = |at| self.place(node.locate(&format!("spec.domains[{at}]")));
        match sink_entry(&sink, None) {
            Ok(entry) => self.set.sink(DeclaredSink {
                at: self.place(node.locate("metadata.name")),
                domains_at: places.map(domain_at).collect(),
                entry,
            }),
            Err(error) => self.no_entry(node, error),
        }
    }

    fn domain(&mut self, node: &Node) {
        let mut domain = match self.checkers.domain.check(&node.to_json()) {
            Ok(domain) => domain,
            Err(faults) => return self.faults(node, faults),
        };
        let host_at = self.place(node.locate("spec.host"));
        if domain.spec.class_name != DEFAULT_CLASS {
            let at = self.place(node.locate("spec.className"));
            let class = domain.spec.class_name;
            return self.set.notice(at, NoticeKind::OtherClass(class));
        }
        in_a_namespace(&mut domain.metadata.namespace);
        let facts = Facts {
            verified: true,
            former_hosts: Vec::new(),
            since: 0,
        };
        match entry(&domain, facts) {
            Ok(entry) => self.set.domain(Declared {
                at: self.place(node.locate("metadata.name")),
                hosts_at: self.hosts_at(node, host_at, domain.spec.aliases.len()),
                verification: domain.spec.verification,
                deletion_policy: domain.spec.deletion_policy,
                entry,
            }),
            Err(error) => self.no_entry(node, error),
        }
    }

    fn no_entry(&mut self, node: &Node, error: EntryError) {
        match error {
            EntryError::Field { field, rule } => self.fault(node, &field, rule),
            EntryError::TooLong { .. } => self.fault(node, "spec", error.to_string()),
        }
    }

    /// Notes faults as they stand in the file.
    fn faults(&mut self, node: &Node, mut faults: Vec<Fault>) {
        faults.sort_by_cached_key(|fault| {
            let at = node.locate(&fault.field);
            (at.line(), at.column())
        });
        for fault in faults {
            self.fault(node, &fault.field, fault.rule);
        }
    }

    /// Where the host and the aliases stand, in the order of the entry's hosts.
    fn hosts_at(&self, node: &Node, host: Place, aliases: usize) -> Vec<Place> {
        let alias = |at| self.place(node.locate(&format!("spec.aliases[{at}]")));
        std::iter::once(host)
            .chain((0..aliases).map(alias))
            .collect()
    }

    fn fault(&mut self, node: &Node, field: &str, rule: String) {
        self.set.fault(self.place(node.locate(field)), field, rule);
    }

    fn place(&self, at: Location) -> Place {
        place(self.file, at)
    }
}

/// Whoever names no namespace is in the default one.
fn in_a_namespace(namespace: &mut Option<String>) {
    let named = namespace.take().filter(|namespace| !namespace.is_empty());
    *namespace = named.or_else(|| Some(DEFAULT_NAMESPACE.to_owned()));
}

fn place(file: &Path, at: Location) -> Place {
    Place {
        file: file.to_owned(),
        line: at.line(),
        column: at.column(),
    }
}
