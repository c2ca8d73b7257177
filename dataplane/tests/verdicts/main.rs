//! How often the shipped rules are right: every labelled hit is judged, and the
//! table in docs/VERDICTS.md must say what came of it.

mod judged;
mod set;
mod table;

use judged::judge;
use table::Table;

#[test]
fn the_confusion_table_in_the_docs_is_what_the_labelled_set_gives() {
    let table = Table::of(&judge(&set::read()));
    let docs = include_str!("../../../docs/VERDICTS.md");
    let written = table.to_string();
    assert!(
        docs.contains(&written),
        "docs/VERDICTS.md is not what the rules do; it should say:\n{written}"
    );
}

#[test]
fn the_misses_told_in_the_docs_are_those_of_the_labelled_set() {
    let misses = judged::misses(&judge(&set::read()));
    let docs = include_str!("../../../docs/VERDICTS.md");
    let missing: Vec<_> = misses.iter().filter(|miss| !docs.contains(*miss)).collect();
    assert!(
        missing.is_empty(),
        "docs/VERDICTS.md does not tell:\n{missing:#?}"
    );
}

#[test]
fn the_labelled_set_is_large_and_has_its_sources() {
    let hits = judge(&set::read());
    assert!(hits.len() >= 120, "{}", hits.len());
    for hit in &hits {
        assert!(!hit.source.is_empty(), "{hit:?}");
    }
}

#[test]
fn machines_are_taken_for_people_and_people_for_machines_as_seldom_as_is_told() {
    let hits = judge(&set::read());
    let table = Table::of(&hits);
    // What a sender is misled by most; a change of the rules may lower these.
    assert!(table.people_as_machines() <= 3, "{table}");
    assert!(table.machines_as_people() <= 14, "{table}");
}

#[test]
fn the_rules_that_the_docs_show_are_read() {
    let docs = include_str!("../../../docs/VERDICTS.md");
    let example = docs.split("```yaml\n").nth(1).expect("an example");
    let example = example.split("```").next().unwrap_or_default();
    let rules = mailtrail_dataplane::judge::Rules::parse(example);
    assert!(rules.is_ok(), "{}", rules.expect_err("bad rules"));
}
