//! Plain text rewritten, case by case.

use std::sync::Arc;

use mailtrail_core::config::{Clicks, Domain, PixelPlacement, Snapshot};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::link::UrlBase;
use mailtrail_core::token::{Hour, Keys, Kind, Mail};

use super::*;
use crate::rewrite::Tracking;

fn job() -> Job {
    let domain = Domain {
        generation: 1,
        verified: true,
        clicks: Clicks {
            enabled: true,
            plain_text: true,
            ..Clicks::default()
        },
        ..Domain::new(
            "shop/links".parse().expect("realm"),
            "links.shop.example".parse().expect("host"),
        )
    };
    let mut random = [7; 35];
    random[3] = 1;
    Job {
        base: UrlBase::new(&domain.host, 8080),
        snapshot: Arc::new(Snapshot::new([domain.clone()]).expect("snapshot")),
        domain: Arc::new(domain),
        keys: Arc::new(Keys::new(Keyring::generate(random).expect("a good key"))),
        mail: Mail {
            message: "m-1".parse().expect("message id"),
            recipient: Some("ada@example.org".parse().expect("recipient")),
            sent: Hour::from_unix_seconds(1_790_000_000),
            test: false,
            opens_on: true,
        },
        tracking: Tracking {
            opens: true,
            clicks: true,
            text: true,
            pixel: PixelPlacement::Auto,
        },
        unsubscribe_urls: Vec::new(),
    }
}

fn changed(change: impl FnOnce(&mut Domain)) -> Job {
    let mut job = job();
    change(Arc::make_mut(&mut job.domain));
    job
}

fn rewrite(job: &Job, input: &str) -> (String, Rewritten) {
    let (output, rewritten) = text(job, Counted::default(), input);
    let (again, _) = text(job, Counted::default(), &output);
    assert_eq!(again, output, "rewritten twice");
    (output, rewritten)
}

/// The text with every tracking URL opened and put back as `{target}`.
#[track_caller]
fn check(job: &Job, input: &str, expected: &str) {
    let (mut output, rewritten) = rewrite(job, input);
    for link in &rewritten.report.links {
        let Some(url) = &link.url else { continue };
        let token = url
            .strip_prefix("https://links.shop.example/c/")
            .expect("a tracking URL");
        let claim = job
            .keys
            .open(&job.domain.realm, Kind::Click, token)
            .expect("its token opens");
        let opened = claim.link().expect("a link");
        assert_eq!(opened.position, link.position);
        assert_eq!(opened.target.as_str(), link.target);
        output = output.replacen(url.as_str(), &format!("{{{}}}", link.target), 1);
    }
    assert_eq!(output, expected, "{input:?}");
}

#[test]
fn case_72_to_75_links_are_tracked_and_all_else_is_kept() {
    let job = job();
    for (input, expected) in [
        ("See https://e.com/x.", "See {https://e.com/x}."),
        ("(https://e.com/a_(b))", "({https://e.com/a_(b)})"),
        ("<https://e.com/x>", "<{https://e.com/x}>"),
        ("\"https://e.com\"", "\"{https://e.com}\""),
        ("https://e.com/x,\r\n", "{https://e.com/x},\r\n"),
        ("https://e.com/x/", "{https://e.com/x/}"),
        ("https://e.com/?a=", "{https://e.com/?a=}"),
        (
            "a https://e.com/a\nhttps://e.com/a/b",
            "a {https://e.com/a}\n{https://e.com/a/b}",
        ),
        (
            "HTTPS://bücher.example/ß",
            "{https://xn--bcher-kva.example/%C3%9F}",
        ),
        ("https://e.com/?a=1&amp;b=2", "{https://e.com/?a=1&amp;b=2}"),
    ] {
        check(&job, input, expected);
    }
}

#[test]
fn what_the_policy_leaves_stays_byte_for_byte_with_its_reason() {
    let job = job();
    for (input, reason) in [
        ("https://e.com/?id={{ id }}", Reason::Placeholder),
        ("https://e.com/?id=%email%", Reason::Placeholder),
        ("https://user:pw@e.com/", Reason::Userinfo),
        ("https://e.com/reset/abc", Reason::Sensitive),
        ("https://links.shop.example/c/abc", Reason::AlreadyTracked),
        ("www.e.com/x", Reason::SchemelessHost),
    ] {
        let (output, rewritten) = rewrite(&job, input);
        assert_eq!(output, input);
        assert_eq!(rewritten.report.links.len(), 1, "{input}");
        assert_eq!(rewritten.report.links[0].reason, Some(reason), "{input}");
        assert!(rewritten.links.is_empty());
    }
}

#[test]
fn case_76_a_long_tracking_url_stands_on_one_line_up_to_its_limit() {
    let job = job();
    let at = |length: usize| format!("https://e.com/{}", "x".repeat(length - 14));
    let (output, rewritten) = rewrite(&job, &at(400));
    assert!(rewritten.report.links[0].tracked && !output.contains('\n'));
    let (output, rewritten) = rewrite(&job, &at(600));
    assert_eq!(output, at(600));
    assert_eq!(rewritten.report.links[0].reason, Some(Reason::TooLong));
}

#[test]
fn case_77_text_is_left_unless_its_own_toggle_is_on() {
    let mut job = job();
    job.tracking.text = false;
    let (output, rewritten) = rewrite(&job, "https://e.com/x");
    assert_eq!(output, "https://e.com/x");
    let reason = |rewritten: Rewritten| rewritten.report.links[0].reason;
    assert_eq!(reason(rewritten), Some(Reason::PlainTextOff));
    job.tracking.clicks = false;
    let (_, rewritten) = rewrite(&job, "https://e.com/x");
    assert_eq!(reason(rewritten), Some(Reason::ClicksOff));
}

#[test]
fn an_opted_out_link_is_left_and_loses_its_marker() {
    let job = job();
    let input = "https://e.com/x[[data-msys-clicktrack=\"0\"]], https+notrack://e.com/y.";
    let (output, rewritten) = rewrite(&job, input);
    assert_eq!(output, "https://e.com/x, https://e.com/y.\t\t\t");
    let reasons: Vec<_> = rewritten.report.links.iter().map(|l| l.reason).collect();
    assert_eq!(reasons, [Some(Reason::OptedOut); 2]);
}

#[test]
fn case_38_an_opted_out_link_is_left_by_a_second_rewrite_too() {
    let out = "[[data-msys-clicktrack=\"0\"]]";
    let unsubscribes = "[[data-msys-unsubscribe=\"1\"]]";
    for (input, expected) in [
        (
            format!("https://e.com/x{out}\r\nhttps://e.com/y\r\n"),
            "https://e.com/x\t\t\r\n{https://e.com/y}\r\n",
        ),
        (
            format!("https://e.com/a https://e.com/x{out} (b) https://e.com/c \nd"),
            "{https://e.com/a} https://e.com/x (b) {https://e.com/c}\t \t \nd",
        ),
        (
            format!("https://e.com/x{unsubscribes}\t\n"),
            "https://e.com/x\t\t\t\n",
        ),
        (
            "https+notrack://e.com/x and https://e.com/y".to_owned(),
            "https://e.com/x and {https://e.com/y}\t\t",
        ),
        (
            format!("https://e.com/x{out}https://e.com/y"),
            "https://e.com/x{https://e.com/y}\t\t",
        ),
        // Left whatever its marker says: nothing has to be remembered.
        (
            "https://e.com/{{id}}[[data-msys-linkname=\"a\"]]".to_owned(),
            "https://e.com/{{id}}",
        ),
    ] {
        check(&job(), &input, expected);
    }
}

#[test]
fn a_named_link_keeps_its_name_and_loses_its_marker() {
    let job = job();
    let input = "https://e.com/x[[data-msys-linkname=\"hero\"]] y";
    check(&job, input, "{https://e.com/x} y");
    let (_, rewritten) = rewrite(&job, input);
    assert_eq!(rewritten.links[0].name.as_deref(), Some("hero"));
}

#[test]
fn case_38_rewriting_again_changes_nothing() {
    let job = job();
    let input = "https://e.com/x. (https://e.com/a_(b)) <https://e.com/{{x}}> www.e.com";
    let (once, _) = rewrite(&job, input);
    let (twice, rewritten) = rewrite(&job, &once);
    assert_eq!(once, twice);
    assert!(rewritten.links.is_empty());
}

#[test]
fn case_39_a_link_of_another_mail_is_tracked_anew_with_a_warning() {
    let mine = job();
    let mut other = mine.clone();
    other.mail.message = "m-0".parse().expect("message id");
    let (theirs, _) = rewrite(&other, "https://e.com/x and https://e.com/y");
    check(&mine, &theirs, "{https://e.com/x} and {https://e.com/y}");
    let (_, rewritten) = rewrite(&mine, &theirs);
    let codes: Vec<_> = rewritten.report.warnings.iter().map(|w| w.code).collect();
    assert_eq!(codes, [WarningCode::ForeignLink]);
}

#[test]
fn case_48_links_behind_the_cap_are_left_with_one_warning() {
    let job = changed(|d| d.clicks.links_max = 1);
    check(
        &job,
        "https://e.com/a https://e.com/b https://e.com/c",
        "{https://e.com/a} https://e.com/b https://e.com/c",
    );
    let (_, rewritten) = rewrite(&job, "https://e.com/a https://e.com/b https://e.com/c");
    assert_eq!(rewritten.report.warnings.len(), 1);
    assert_eq!(rewritten.report.links[2].reason, Some(Reason::TooMany));
}

#[test]
fn case_48_the_cap_goes_on_from_the_html_and_counts_what_is_tracked_already() {
    let job = changed(|d| d.clicks.links_max = 3);
    let counted = Counted {
        last_position: 2,
        tracked: 2,
    };
    let (output, rewritten) = text(&job, counted, "https://e.com/a https://e.com/b");
    assert_eq!(rewritten.report.links[1].reason, Some(Reason::TooMany));
    assert_eq!(rewritten.counted.tracked, 3);
    assert_eq!(text(&job, counted, &output).0, output);
}

#[test]
fn case_49_positions_go_on_from_the_html() {
    let job = job();
    let counted = Counted {
        last_position: 21,
        tracked: 0,
    };
    let (_, rewritten) = text(&job, counted, "https://e.com/ www.e.com https://e.com/");
    let positions: Vec<u32> = rewritten
        .report
        .links
        .iter()
        .map(|l| l.position.0)
        .collect();
    assert_eq!(positions, [22, 23, 24]);
    assert_eq!(rewritten.links[1].position, LinkPosition(24));
}

#[test]
fn case_51d_a_line_that_grew_too_long_is_told() {
    let job = job();
    let input = format!("{} https://e.com/", "x".repeat(960));
    let (_, rewritten) = rewrite(&job, &input);
    let codes: Vec<_> = rewritten.report.warnings.iter().map(|w| w.code).collect();
    assert_eq!(codes, [WarningCode::LineOver998]);
}

#[test]
fn case_51e_the_mail_of_an_unverified_host_stays_whole() {
    let job = changed(|d| d.verified = false);
    let input =
        "https+notrack://e.com/x https://e.com/y[[data-msys-clicktrack=\"0\"]] https://e.com/";
    let (output, rewritten) = rewrite(&job, input);
    assert_eq!(output, input);
    assert_eq!(
        rewritten.report.links[2].reason,
        Some(Reason::HostUnverified)
    );
}

#[test]
fn case_101_the_opt_out_placeholder_becomes_the_readers_link() {
    let mut job = job();
    let input = "https://e.com/x\nOut: {{mailtrail:optout}}.\nhttps://{{mailtrail:optout}}\n";
    for on in [true, false] {
        job.tracking.text = on;
        let (output, rewritten) = rewrite(&job, input);
        let url = job.opt_out_url().expect("a reader is named");
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[1], format!("Out: {url}."));
        assert_eq!(lines[2].trim_end(), url);
        assert_eq!(rewritten.report.warnings, []);
    }
    job.mail.recipient = None;
    let (output, rewritten) = rewrite(&job, "{{mailtrail:optout}}");
    assert_eq!(output, "{{mailtrail:optout}}");
    let codes = rewritten.report.warnings.iter().map(|w| w.code);
    assert!(codes.eq([WarningCode::OptOutWithoutRecipient]));
}

#[test]
fn a_placeholder_that_means_nothing_in_a_text_is_told() {
    for input in ["{{mailtrail:pixel}}", "x {{ mailtrail:optout }}"] {
        let (output, rewritten) = rewrite(&job(), input);
        assert_eq!(output, input);
        let codes = rewritten.report.warnings.iter().map(|w| w.code);
        assert!(codes.eq([WarningCode::PlaceholderLeft]));
    }
}
