//! Section 2: elements and regions.

use super::support::{check, left};

#[test]
fn case_15_an_area_is_tracked() {
    check(
        r#"<map name="m"><area href="https://e.com/"></map>"#,
        r#"<map name="m"><area href="{https://e.com/}"></map>"#,
    );
}

#[test]
fn case_16_links_in_svg_are_tracked_and_href_wins() {
    check(
        r#"<svg><a href="https://e.com/1"/><a xlink:href="https://e.com/2"/></svg>"#,
        r#"<svg><a href="{https://e.com/1}"/><a xlink:href="{https://e.com/2}"/></svg>"#,
    );
    check(
        r#"<svg><a xlink:href="https://e.com/1" href="https://e.com/2">x</a></svg>"#,
        r#"<svg><a xlink:href="https://e.com/1" href="{https://e.com/2}">x</a></svg>"#,
    );
    left(r#"<a xlink:href="https://e.com/">x</a>"#, &[]);
}
