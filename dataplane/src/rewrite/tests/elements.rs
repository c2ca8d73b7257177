//! Section 2: elements and regions.

use mailtrail_core::policy::Reason;

use super::support::{check, clicks_only, left, rewrite};
use crate::rewrite::report::WarningCode;

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
    left(r#"<svg></svg><a xlink:href="https://e.com/">x</a>"#, &[]);
}

#[test]
fn case_17_vml_in_conditional_comments_is_tracked() {
    for shape in [
        "v:roundrect",
        "v:rect",
        "v:shape",
        "v:oval",
        "v:image",
        "v:group",
        "V:RECT",
    ] {
        for condition in [
            "mso",
            "gte mso 9",
            "mso | IE",
            "(mso)&(!vml)",
            "(gte mso 9)|(IE)",
        ] {
            let with = |value: &str| {
                format!(
                    "<!--[if {condition}]><{shape} xmlns:v=\"urn:x\" href=\"{value}\" \
                     style='a:b'>-- > \u{fc}</{shape}><![endif]-->"
                )
            };
            check(&with("https://e.com/"), &with("{https://e.com/}"));
        }
    }
}

#[test]
fn case_17_vml_outside_of_comments_is_tracked_too() {
    check(
        r#"<v:rect href="https://e.com/"><v:fill/></v:rect>"#,
        r#"<v:rect href="{https://e.com/}"><v:fill/></v:rect>"#,
    );
}

#[test]
fn case_18_both_halves_are_tracked_under_one_position() {
    for (open, close) in [
        ("<!--[if !mso]><!-->", "<!--<![endif]-->"),
        ("<!--[if !mso]><!-- -->", "<!-- <![endif]-->"),
        ("<![if !mso]>", "<![endif]>"),
    ] {
        let with = |value: &str| {
            format!(
                "<a href={value}0>0</a><!--[if mso]><a href=\"{value}1\">x</a><a href='{value}2'>y</a><![endif]-->\n \
                 {open}<a href='{value}1'>x</a><a href={value}3>z</a>{close}<a href={value}1>z</a>"
            )
        };
        let done = rewrite(clicks_only(), with("https://e.com/"));
        assert_eq!(done.positions(), [1, 2, 3, 2, 4, 5], "{open}");
        assert!(done.links().iter().all(|link| link.tracked));
        assert_eq!(done.links()[1].url, done.links()[3].url);
        let recorded: Vec<_> = done.rewritten.links.iter().map(|l| l.position.0).collect();
        assert_eq!(recorded, [1, 2, 3, 4, 5]);
    }
}

#[test]
fn case_18_the_halves_may_come_in_either_order() {
    let done = rewrite(
        clicks_only(),
        "<!--[if !mso]><!--><a href=https://e.com/1>x</a><!--<![endif]-->\
         <!--[if mso]><a href=https://e.com/1>x</a><![endif]-->",
    );
    assert_eq!(done.positions(), [1, 1]);
}

#[test]
fn case_18_a_link_that_outlook_hides_is_the_other_half() {
    let button = |style: &str| {
        format!(
            "<div><!--[if mso]><v:roundrect href=\"https://e.com/1\"><![endif]-->\
             <a href=\"https://e.com/1\" style=\"{style}\">x</a></div>"
        )
    };
    let done = rewrite(clicks_only(), button("color:#fff;mso-hide:all"));
    assert_eq!(done.positions(), [1, 1]);
    let done = rewrite(clicks_only(), button("color:#fff"));
    assert_eq!(done.positions(), [1, 2]);
}

#[test]
fn case_18_what_stands_between_makes_two_links_of_them() {
    for between in ["x", "<br>", "</p>", "<a name=x>"] {
        let done = rewrite(
            clicks_only(),
            format!(
                "<!--[if mso]><a href=https://e.com/1>x</a><![endif]-->{between}\
                 <!--[if !mso]><!--><a href=https://e.com/1>x</a><!--<![endif]-->"
            ),
        );
        assert_eq!(done.positions(), [1, 2], "{between}");
    }
}

#[test]
fn case_19_an_ordinary_comment_is_left() {
    left(r#"<!-- <a href="https://e.com/">x</a> -->"#, &[]);
    left(
        r#"<!-- [if mso]><a href="https://e.com/">x</a><![endif]-->"#,
        &[],
    );
    left(r#"<!--[if mso]><a href="https://e.com/">x</a> -->"#, &[]);
    left(r#"<!--><!--<a href="https://e.com/">-->"#, &[]);
    left(
        r#"<? <a href="https://e.com/"> ?>"#.replace('>', " ").as_str(),
        &[],
    );
}

#[test]
fn case_20_a_link_element_is_left() {
    left(
        r#"<link rel="stylesheet" href="https://e.com/a.css"><link rel="canonical" href="https://e.com/">"#,
        &[],
    );
}

#[test]
fn case_21_base_and_relative_links_are_left() {
    let done = check(
        r#"<base href="https://e.com/"><a href="x">x</a><a href="https://e.com/y">y</a>"#,
        r#"<base href="https://e.com/"><a href="x">x</a><a href="{https://e.com/y}">y</a>"#,
    );
    assert_eq!(done.reasons(), [Some(Reason::Relative), None]);
}

#[test]
fn case_22_markup_that_is_text_is_left() {
    for element in [
        "script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes",
    ] {
        left(
            &format!("<{element}><a href='https://e.com/'>x</a></{element}>"),
            &[],
        );
        left(
            &format!("<{element} a='>'><a href='https://e.com/'></{element}x></{element} >"),
            &[],
        );
    }
    left("<plaintext><a href='https://e.com/'>x</a></plaintext>", &[]);
    left(
        "<script><!-- <script> </script> <a href='https://e.com/'> --></script>",
        &[],
    );
    left("<svg><![CDATA[<a href='https://e.com/'>]]></svg>", &[]);
}

#[test]
fn case_22_markup_after_text_is_tracked() {
    for before in [
        "<script></script>",
        "<script>'<!--'</script>",
        "<script><!-- <script> </script> --></script>",
        "<style>a{}</style >",
        "<title>x</TITLE>",
        "<svg><title>x</title></svg>",
        "<svg><style></style><p>",
        "<svg><desc><p></desc></svg>",
        "<math><mi>x</mi></math>",
        "<!doctype html>",
        "<!---->",
        "<!-->",
        "<!--->",
        "<!-- --!>",
        "<!-- <!-- -->",
        "< a>",
        "<>",
        "</>",
        "</ x>",
        "<?xml x?>",
        "<x y='",
    ] {
        let close = if before.ends_with('\'') { "'>" } else { "" };
        check(
            &format!("{before}{close}<a href='https://e.com/'>x</a>"),
            &format!("{before}{close}<a href='{{https://e.com/}}'>x</a>"),
        );
    }
}

#[test]
fn case_22_where_an_end_tag_may_have_left_svg_the_rest_is_left() {
    for before in [
        "<a href='#'><svg></a><textarea>",
        "<section><svg></section><script>",
        "<label><svg></label><title>",
        "<button><math></button><xmp>",
        "<font><svg></font><style>",
        "<article><svg><g></article><textarea>",
    ] {
        let html = format!("{before}<a href='https://e.com/'>x</a>");
        let done = rewrite(clicks_only(), &html);
        assert_eq!(done.output, html);
        assert_eq!(done.warnings(), [WarningCode::Unparsable], "{before}");
    }
    for before in [
        "<svg><a><g></g></a></svg>",
        "<svg><font></svg>",
        "<svg></svg></section>",
    ] {
        check(
            &format!("{before}<a href='https://e.com/'>x</a>"),
            &format!("{before}<a href='{{https://e.com/}}'>x</a>"),
        );
    }
}

#[test]
fn case_22_a_template_is_left_with_all_in_it() {
    check(
        "<template><a href='https://e.com/1'>x</a><template></template><div></template></body>\
         <a href='https://e.com/2'></div></template><a href='https://e.com/3'>x</a>",
        "<template><a href='https://e.com/1'>x</a><template></template><div></template></body>\
         <a href='{https://e.com/2}'></div></template><a href='{https://e.com/3}'>x</a>",
    );
    left("<template><a href='https://e.com/1'>x</a>", &[]);
}

#[test]
fn case_22_noscript_is_live() {
    check(
        "<noscript><a href='https://e.com/'>x</a><!-- </noscript> <a href='https://e.com/'> --></noscript>",
        "<noscript><a href='{https://e.com/}'>x</a><!-- </noscript> <a href='https://e.com/'> --></noscript>",
    );
}

#[test]
fn case_22_a_link_in_a_select_is_left_for_parsers_pass_over_it() {
    check(
        "<select><option><a href='https://e.com/1'>x</a></select><a href='https://e.com/2'>x</a>",
        "<select><option><a href='https://e.com/1'>x</a></select><a href='{https://e.com/2}'>x</a>",
    );
}

#[test]
fn case_23_other_places_of_urls_are_left() {
    left(
        r#"<form action="https://e.com/"><img src="https://e.com/x.png"><td background="https://e.com/b.png"
           style="background:url(https://e.com/c.png)">"#,
        &[],
    );
}

#[test]
fn case_24_links_after_the_end_are_tracked() {
    check(
        "<body></body><a href=https://e.com/1>x</a></html><a href=https://e.com/2>x</a>",
        "<body></body><a href={https://e.com/1}>x</a></html><a href={https://e.com/2}>x</a>",
    );
}

#[test]
fn case_25_buttons_are_left() {
    left(
        r#"<button formaction="https://e.com/">x</button><input type=image src="https://e.com/">"#,
        &[],
    );
}

#[test]
fn case_27_structured_data_is_left() {
    left(
        r#"<script type="application/ld+json">{"potentialAction":{"target":{"url":"https://e.com/"}}}</script>"#,
        &[],
    );
}
