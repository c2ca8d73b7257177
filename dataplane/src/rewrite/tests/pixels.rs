//! Section 4: pixel placement and document shape.

use mailtrail_core::config::PixelPlacement::{Auto, Both, Bottom, Top};
use mailtrail_core::token::Purpose;

use super::support::{Done, clicks_only, job, job_of, opens_only, pixel, rewrite};
use crate::rewrite::html;
use crate::rewrite::pixel::{AUTO_TOP_BYTES, GMAIL_CLIPS_BYTES, markup};
use crate::rewrite::report::{PixelReason, WarningCode};

#[test]
fn case_52_the_pixel_goes_before_the_end_of_the_body() {
    let done = pixel(
        Bottom,
        "<html><body><p>x</p></body></html>",
        "<html><body><p>x</p>{pixel}</body></html>",
    );
    let url = done.rewritten.report.pixel.url.as_deref().expect("a pixel");
    let claim = done.open(url);
    assert_eq!(
        (claim.mail, claim.purpose),
        (done.job.mail.clone(), Purpose::Open)
    );
}

#[test]
fn case_53_the_end_tag_may_be_written_in_any_way() {
    for end in [
        "</BODY>",
        "</body >",
        "</body\n>",
        "</bOdY x='>'>",
        "</body/>",
    ] {
        pixel(
            Bottom,
            &format!("<body>x{end}"),
            &format!("<body>x{{pixel}}{end}"),
        );
    }
    pixel(Bottom, "<body>x</body", "<body>x{pixel}</body");
}

#[test]
fn case_54_the_last_of_two_body_ends_counts() {
    pixel(
        Bottom,
        "<body><p>a</p></body></html><p>b</p></body></html>",
        "<body><p>a</p></body></html><p>b</p>{pixel}</body></html>",
    );
}

#[test]
fn case_55_a_body_end_that_is_none_is_passed_over() {
    for not in [
        "<!-- </body> -->",
        "<!--[if mso]></body><![endif]-->",
        "<script>'</body>'</script>",
        "<textarea></body></textarea>",
        "<style></body></style>",
        "<title></body></title>",
        "<p title='</body>'>",
        "<template></body></template>",
        "<select></body></select>",
        "</bodyx>",
        "</ body>",
    ] {
        pixel(
            Bottom,
            &format!("x</body>{not}"),
            &format!("x{{pixel}}</body>{not}"),
        );
    }
}

#[test]
fn case_56_a_fragment_gets_it_at_the_end() {
    pixel(Bottom, "<p>x</p>", "<p>x</p>{pixel}");
    pixel(Bottom, "x", "x{pixel}");
    pixel(Bottom, "x<", "x<{pixel}");
    pixel(Bottom, "x</html>\n", "x{pixel}</html>\n");
}

#[test]
fn case_57_what_follows_the_document_is_untouched() {
    pixel(
        Bottom,
        "<body>x</body></html>\nSent from my phone",
        "<body>x{pixel}</body></html>\nSent from my phone",
    );
}

#[test]
fn case_58_an_unclosed_region_does_not_swallow_it() {
    for open in [
        "<!-- x </body>",
        "<!--[if mso]> x",
        "<script>x </body>",
        "<script>",
        "<title>x</titl",
        "<style>x",
        "<textarea></body",
        "<xmp>",
        "<plaintext>x</plaintext>",
        "<p title='x",
        "<p ",
        "</p",
        "<!doctype",
        "<template>x</body>",
        "<select><option>x</body>",
        "<?x",
        "<svg><![CDATA[ x",
        "<svg><desc>x</body>",
        "<math>",
        "<select><textarea>",
        "<select><math></select>",
        "</",
        "<textarea>x</textarea\n",
    ] {
        pixel(
            Bottom,
            &format!("<b>a{open}"),
            &format!("<b>a{{pixel}}{open}"),
        );
        pixel(
            Bottom,
            &format!("<b>a</body>{open}"),
            &format!("<b>a{{pixel}}</body>{open}"),
        );
    }
}

#[test]
fn case_59_a_frameset_gets_none() {
    let input = "<html><head><title>x</title></head><frameset><frame src=x></frameset></html>";
    let done = rewrite(job(), input);
    assert_eq!(
        (done.output.as_str(), done.no_pixel()),
        (input, Some(PixelReason::Frameset))
    );
    // A frameset start tag in a body is passed over by parsers.
    pixel(Bottom, "<p>x<frameset>", "<p>x<frameset>{pixel}");
}

#[test]
fn case_60_blank_html_comes_back_with_a_warning() {
    for blank in ["", " ", "\r\n\t \n", "\u{feff}", "\u{feff}\n"] {
        let done = rewrite(job(), blank);
        assert_eq!(done.output, blank);
        assert_eq!(done.no_pixel(), Some(PixelReason::Empty));
        assert_eq!(done.warnings(), [WarningCode::Empty]);
    }
    pixel(Bottom, "{{mailtrail:pixel}}", "{pixel}");
    pixel(Bottom, "<!-- -->", "<!-- -->{pixel}");
}

#[test]
fn case_61_a_placeholder_becomes_the_pixel() {
    for placeholder in ["{{ses:openTracker}}", "{{mailtrail:pixel}}"] {
        for placement in [Auto, Top, Bottom, Both] {
            pixel(
                placement,
                &format!("<body><p>a</p></body>{{{{ses:{placeholder}<p>b</p></body>"),
                "<body><p>a</p></body>{{ses:{pixel}<p>b</p></body>",
            );
        }
        let done = rewrite(clicks_only(), format!("<body>a{placeholder}b</body>"));
        assert_eq!(done.output, "<body>ab</body>");
    }
    pixel(
        Bottom,
        "<p>{{mailtrail:pixel}}</p>{{ses:openTracker}}<",
        "<p>{pixel}</p><",
    );
    let joins = "{{mailtrail:pixel}}<{{mailtrail:pixel}}p>";
    pixel(Bottom, joins, "{pixel}<{{mailtrail:pixel}}p>");
    pixel(
        Bottom,
        "<i title='{{mailtrail:pixel}}'><!-- {{mailtrail:pixel}} --><style>{{mailtrail:pixel}}</style>",
        "<i title='{{mailtrail:pixel}}'><!-- {{mailtrail:pixel}} --><style>{{mailtrail:pixel}}</style>{pixel}",
    );
}

#[test]
fn case_61_a_placeholder_that_means_nothing_is_told() {
    for left in [
        "<i title='{{mailtrail:pixel}}'>x</i>",
        "<!--[if mso]>{{mailtrail:pixel}}<![endif]-->x",
        "x{{ mailtrail:pixel }}",
        "x {{mailtrail:optout}}",
        "<a href='https://e.com/?u={{mailtrail:optout}}'>x</a>",
        "<style>{{mailtrail:pixel}}</style>x",
    ] {
        let done = rewrite(clicks_only(), left);
        assert_eq!(done.output, left);
        assert_eq!(done.warnings(), [WarningCode::PlaceholderLeft], "{left}");
    }
    for heeded in [
        "<p>{{{mailtrail:pixel}}}</p>",
        "x<!--[if mso]><a href='{{mailtrail:optout}}'>y</a><![endif]-->",
    ] {
        let done = rewrite(clicks_only(), heeded);
        assert_eq!(done.warnings(), [], "{heeded}");
    }
}

#[test]
fn case_62_a_long_mail_is_warned_of_and_has_it_at_the_top() {
    let long = "\n".to_owned() + &"xxxxxxxxx\n".repeat(GMAIL_CLIPS_BYTES / 10);
    let top = pixel(
        Auto,
        &format!("<body>{long}</body>"),
        &format!("<body>{{pixel}}{long}</body>"),
    );
    let [clips] = top.rewritten.report.warnings.as_slice() else {
        panic!("{:?}", top.warnings());
    };
    let added = top.output.len() - long.len() - "<body></body>".len();
    assert_eq!(clips.code, WarningCode::GmailClips);
    assert!(
        clips
            .detail
            .contains(&format!("{} bytes, {added} of them", top.output.len()))
    );
}

#[test]
fn case_62_auto_goes_to_the_top_near_the_limit() {
    let tags = "<body></body>".len();
    let below = "x".repeat(AUTO_TOP_BYTES - tags - 1);
    pixel(
        Auto,
        &format!("<body>{below}</body>"),
        &format!("<body>{below}{{pixel}}</body>"),
    );
    let near = "x".repeat(AUTO_TOP_BYTES - tags);
    let done = pixel(
        Auto,
        &format!("<body>{near}</body>"),
        &format!("<body>{{pixel}}{near}</body>"),
    );
    assert!(!done.warnings().contains(&WarningCode::GmailClips));
}

#[test]
fn case_62_the_pixel_goes_where_it_is_wanted() {
    let input = "<html><head><title>x</title></head>\n<body class=a>\n<p>x</p></body></html>";
    let (head, rest) = input.split_at(input.find("\n<p>").expect("a p"));
    let top = format!("{head}{{pixel}}{rest}");
    pixel(Top, input, &top);
    pixel(Bottom, input, &input.replace("</body>", "{pixel}</body>"));
    let both = pixel(Both, input, &top.replace("</body>", "{pixel}</body>"));
    assert_eq!(both.output.matches("/o/").count(), 2);
}

#[test]
fn case_62_the_top_of_a_document_without_body_is_its_first_content() {
    pixel(Top, "<p>x</p>", "{pixel}<p>x</p>");
    pixel(Top, "\u{feff} x", "\u{feff} {pixel}x");
    pixel(
        Top,
        "<!doctype html><head><meta charset=utf-8><style>a{}</style></head>\n<!-- x --><div>x</div>",
        "<!doctype html><head><meta charset=utf-8><style>a{}</style></head>\n<!-- x -->{pixel}<div>x</div>",
    );
    pixel(Top, "<!-- x -->", "<!-- x -->{pixel}");
}

#[test]
fn case_63_the_markup_shows_nothing_and_is_loaded() {
    let markup = markup("https://l.example/o/x");
    for part in [
        r#"alt="""#,
        r#"width="1""#,
        r#"height="1""#,
        "margin:0 0 -1px",
    ] {
        assert!(markup.contains(part), "{markup}");
    }
    assert!(!markup.contains("display:none") && !markup.contains("hidden"));
}

#[test]
fn case_64_the_preview_line_stays_the_preheader() {
    let input = "<body><div style='display:none'>Preheader</div><p>x</p></body>";
    let done = pixel(Top, input, &input.replacen("<body>", "<body>{pixel}", 1));
    // What an `alt` or a text of the pixel said would lead the preview.
    assert!(done.output.contains(r#" alt="" "#));
}

#[test]
fn case_64a_a_pixel_of_another_message_is_removed() {
    let theirs = |change: &dyn Fn(&mut crate::rewrite::Job)| {
        let mut job = opens_only();
        change(&mut job);
        let (output, _) = html(job, b"<blockquote>x</blockquote>");
        String::from_utf8(output).expect("text")
    };
    let another_message = theirs(&|job| job.mail.message = "order-0".parse().expect("id"));
    let another_reader = theirs(&|job| job.mail.recipient = None);
    let another_domain = theirs(&|job| *job = opens_only_of_other());
    for quoted in [another_message, another_reader, another_domain] {
        let (lead, _) = quoted.split_once("<img").expect("a pixel");
        let done = pixel(
            Bottom,
            &format!("<body>{quoted}</body>"),
            &format!("<body>{lead}{{pixel}}</body>"),
        );
        assert_eq!(done.warnings(), [WarningCode::ForeignPixel]);
        let image = &quoted[lead.len()..];
        let (before, path) = image.split_once("/o/").expect("a pixel's path");
        for slashes in [
            "&#x2f;o&sol;",
            "/o&#47;",
            "&#47o/",
            "\\o\\",
            "\\o/",
            "/\to/",
            "/o\n/",
            "&bsol;o/",
            "./o/",
        ] {
            let spelt = format!("<body>{lead}{before}{slashes}{path}</body>");
            let done = pixel(Bottom, &spelt, &format!("<body>{lead}{{pixel}}</body>"));
            assert_eq!(done.warnings(), [WarningCode::ForeignPixel]);
        }
        let spelt = format!("<body>{}</body>", quoted.replace("<img", "<IMAGE"));
        let done = pixel(Bottom, &spelt, &format!("<body>{lead}{{pixel}}</body>"));
        assert_eq!(done.warnings(), [WarningCode::ForeignPixel]);
        let outlook = |inside: &str| format!("<body>x<!--[if mso]>{inside}<![endif]--></body>");
        let done = rewrite(clicks_only(), outlook(&quoted));
        assert_eq!(done.output, outlook(lead));
        assert_eq!(done.warnings(), [WarningCode::ForeignPixel]);
        let done = rewrite(clicks_only(), outlook(&format!("--{quoted}>")));
        assert!(done.output.contains("[if mso]>--"), "{}", done.output);
    }
}

fn opens_only_of_other() -> crate::rewrite::Job {
    let mut job = job_of(super::support::domain("other"));
    job.tracking.clicks = false;
    job
}

#[test]
fn case_64a_other_images_are_left() {
    for image in [
        "<img src='https://links.shop.example/o/abc'>",
        "<img src='https://elsewhere.example/o/abc'>",
        "<img src='https://links.shop.example/c/abc'>",
        "<img src=/o/ alt='https://links.shop.example/o/'>",
        "<img>",
    ] {
        pixel(Bottom, image, &format!("{image}{{pixel}}"));
    }
}

#[test]
fn a_pixel_of_ours_goes_when_opens_are_off() {
    let placed = rewrite(job(), "<body>x</body>");
    let Done { output, .. } = rewrite(clicks_only(), placed.output);
    assert_eq!(output, "<body>x</body>");
}
