//! Section 1: attribute syntax.

use mailtrail_core::policy::Reason;

use super::support::{check, left};

#[test]
fn case_01_character_references_are_decoded() {
    check(
        r#"<a href="https://e.com/?a=1&amp;b=2">x</a>"#,
        r#"<a href="{https://e.com/?a=1&b=2}">x</a>"#,
    );
}

#[test]
fn case_02_a_raw_ampersand_leads_to_the_same() {
    check(
        r#"<a href="https://e.com/?a=1&b=2">x</a>"#,
        r#"<a href="{https://e.com/?a=1&b=2}">x</a>"#,
    );
}

#[test]
fn case_03_attribute_rules_decide_what_is_a_reference() {
    check(
        r#"<a href="https://e.com/?x=1&copy=2"></a><a href="https://e.com/?x=1&copy;=2"></a>"#,
        r#"<a href="{https://e.com/?x=1&copy=2}"></a><a href="{https://e.com/?x=1%C2%A9=2}"></a>"#,
    );
}

#[test]
fn case_04_numeric_and_named_references_are_decoded() {
    check(
        r#"<a href="https://e.com/?a&#38;b&#x26;c&quot;d&apos;e&nbsp;f">x</a>"#,
        r#"<a href="{https://e.com/?a&b&c%22d%27e%C2%A0f}">x</a>"#,
    );
}

#[test]
fn case_05_every_way_to_quote_is_tracked() {
    check(
        "<a href='https://e.com/'>x</a>",
        "<a href='{https://e.com/}'>x</a>",
    );
    check(
        "<a href=https://e.com/x>x</a>",
        "<a href={https://e.com/x}>x</a>",
    );
    check(
        "<A HREF=\"https://e.com/\">x</A>",
        "<A HREF=\"{https://e.com/}\">x</A>",
    );
    check(
        "<a href = \"https://e.com/\">x</a>",
        "<a href = \"{https://e.com/}\">x</a>",
    );
    check(
        "<a\nhref\n=\n'https://e.com/'\n>x</a>",
        "<a\nhref\n=\n'{https://e.com/}'\n>x</a>",
    );
    check(
        "<a/href=https://e.com/ >x</a>",
        "<a/href={https://e.com/} >x</a>",
    );
}

#[test]
fn case_06_controls_and_space_are_stripped_as_url_parsers_do() {
    check(
        "<a href=\" \u{1}\thttps://e.com/a\r\n\tb\u{1f} \">x</a>",
        "<a href=\"{https://e.com/ab}\">x</a>",
    );
}

#[test]
fn case_07_a_gt_inside_an_attribute_ends_nothing() {
    check(
        r#"<a title="1 > 0" href="https://e.com">x</a>"#,
        r#"<a title="1 > 0" href="{https://e.com}">x</a>"#,
    );
}

#[test]
fn case_08_other_attributes_and_elements_are_left() {
    left(
        r#"<a data-href="https://e.com">x</a><abbr href="https://e.com">x</abbr>"#,
        &[],
    );
}

#[test]
fn case_09_the_first_of_two_hrefs_counts() {
    check(
        r#"<a href="https://e.com/1" href="https://e.com/2">x</a>"#,
        r#"<a href="{https://e.com/1}" href="https://e.com/2">x</a>"#,
    );
}

#[test]
fn case_10_an_href_inside_another_attribute_is_left() {
    left(r#"<a title='href="https://e.com"'>x</a>"#, &[]);
}

#[test]
fn case_11_an_href_in_a_query_is_part_of_the_target() {
    check(
        r#"<a href="https://e.com/?href=https://f.com">x</a>"#,
        r#"<a href="{https://e.com/?href=https://f.com}">x</a>"#,
    );
}

#[test]
fn case_12_what_is_no_printable_ascii_is_serialised() {
    check(
        "<a href='https://e.com/\u{e9} \"<\u{0}\u{7f}x'>x</a>",
        "<a href='{https://e.com/%C3%A9%20%22%3C%EF%BF%BD%7Fx}'>x</a>",
    );
}

#[test]
fn case_13_an_anchor_without_address_is_left() {
    left(r#"<a>x</a><a name="x">x</a>"#, &[]);
    left(
        r#"<a href="">x</a><a href="  ">x</a><a href>x</a><a href=>x</a>"#,
        &[Reason::Empty; 4],
    );
}

#[test]
fn case_14_nested_anchors_are_tracked_each() {
    check(
        r#"<a href="https://e.com/1">x<a href="https://e.com/2">y</a></a>"#,
        r#"<a href="{https://e.com/1}">x<a href="{https://e.com/2}">y</a></a>"#,
    );
}
