//! Section 3: kinds of URLs, and the markers and names of vendors.

use mailtrail_core::config::LinkChoice;
use mailtrail_core::id::LinkPosition;
use mailtrail_core::link::URL_MAX_CHARS;
use mailtrail_core::policy::Reason;
use mailtrail_core::token::Purpose;

use super::support::{check, clicks_only, domain, job, job_of, left, rewrite};
use crate::rewrite::report::{PixelReason, WarningCode};
use crate::rewrite::{Job, html};

/// One link: `value` is tracked and leads to `target`.
#[track_caller]
fn leads(value: &str, target: &str) {
    let done = check(
        &format!("<a href=\"{value}\">x</a>"),
        &format!("<a href=\"{{{target}}}\">x</a>"),
    );
    assert_eq!(done.links()[0].target, target);
}

/// One link: `value` is left.
#[track_caller]
fn stays(value: &str, reason: Reason) {
    left(&format!("<a href=\"{value}\">x</a>"), &[reason]);
}

#[test]
fn case_28_other_schemes_are_left() {
    for value in [
        "mailto:a@e.com",
        "tel:+1",
        "sms:+1",
        "cid:a",
        "data:text/html,x",
        "javascript:x()",
        "file:///x",
        "about:blank",
    ] {
        stays(value, Reason::OtherScheme);
    }
}

#[test]
fn case_29_a_scheme_in_disguise_is_left() {
    for value in [
        " JavaScript:x()",
        "java&#9;script:x()",
        "java\nscript:x()",
        "&#106;avascript:x()",
    ] {
        stays(value, Reason::OtherScheme);
    }
}

#[test]
fn case_30_relative_addresses_are_left() {
    for value in ["#section", "?q=1", "/path", "page.html"] {
        stays(value, Reason::Relative);
    }
}

#[test]
fn case_31_a_missing_scheme_is_https() {
    leads("//cdn.e.com/x", "https://cdn.e.com/x");
}

#[test]
fn case_32_case_is_kept() {
    leads("HTTPS://E.com/Path", "HTTPS://E.com/Path");
}

#[test]
fn case_33_an_app_scheme_is_left() {
    stays("myapp://open", Reason::OtherScheme);
}

#[test]
fn case_34_a_placeholder_is_left() {
    for value in [
        "{{url}}",
        "{% url %}",
        "*|URL|*",
        "%recipient.x%",
        "%%x%%",
        "[[x]]",
        "<%= x %>",
        "${x}",
        "{unsubscribe_url}",
    ] {
        stays(value, Reason::Placeholder);
    }
    leads("https://e.com/%20a%20", "https://e.com/%20a%20");
}

#[test]
fn case_35_a_url_with_a_placeholder_is_left() {
    stays("https://e.com/?id={{id}}", Reason::Placeholder);
    stays("https://e.com/?id=%7B%7Bid%7D%7D", Reason::Placeholder);
}

#[test]
fn case_36_unsubscribe_links_are_left() {
    let input = "<a href='https://e.com/u?x=1&amp;y'>x</a><a data-unsubscribe href='https://e.com/1'>x</a>\
                 <a rel='nofollow unsubscribe' href='https://e.com/2'>x</a>\
                 <a data-msys-unsubscribe=1 href='https://e.com/3'>x</a>";
    left(
        &input[input.find("<a data").expect("markers")..],
        &[Reason::Unsubscribe; 3],
    );
    let mut job = clicks_only();
    job.unsubscribe_urls = vec!["https://e.com/u?x=1&y"]
        .into_iter()
        .map(|u| mailtrail_core::target::Target::parse(u).expect("url"))
        .collect();
    let done = rewrite(job, input);
    assert_eq!(done.output, input);
    assert_eq!(done.reasons(), [Some(Reason::Unsubscribe); 4]);
}

#[test]
fn case_38_rewriting_again_changes_nothing() {
    let input = "<body><a href=https://e.com/1>x</a><a clicktracking=off href=https://e.com/2>y</a>\
                 <a href='https+notrack://e.com/3' ses:no-track data-link-name=n>z</a></body>";
    let once = rewrite(job(), input);
    assert_eq!(once.output.matches("/o/").count(), 1);
    let again = rewrite(job(), &once.output);
    assert_eq!(again.output, once.output);
    assert_eq!(
        again.reasons(),
        [
            Some(Reason::AlreadyTracked),
            Some(Reason::OptedOut),
            Some(Reason::OptedOut)
        ]
    );
    assert!(again.rewritten.report.pixel.placed && again.rewritten.links.is_empty());
}

#[test]
fn case_39_a_link_tracked_for_another_message_is_tracked_anew() {
    let mut other = clicks_only();
    other.mail.message = "order-0".parse().expect("id");
    let (pasted, _) = html(other, b"<a href=https://e.com/1>x</a>");
    let done = rewrite(clicks_only(), pasted);
    assert_eq!(done.plain(), "<a href={https://e.com/1}>x</a>");
    let claim = done.open(done.links()[0].url.as_deref().expect("tracked"));
    assert_eq!(claim.mail, done.job.mail);
    assert_eq!(done.warnings(), [WarningCode::ForeignLink]);
}

#[test]
fn case_40_another_vendors_link_is_tracked_as_it_is() {
    leads(
        "https://click.vendor.example/ls/click?upn=x",
        "https://click.vendor.example/ls/click?upn=x",
    );
}

#[test]
fn case_41_an_international_host_becomes_ascii() {
    leads(
        "https://b\u{fc}cher.example/\u{df}",
        "https://xn--bcher-kva.example/%C3%9F",
    );
}

#[test]
fn case_42_what_is_encoded_stays_encoded() {
    leads(
        "https://e.com/a%2Fb%20c+d%E4",
        "https://e.com/a%2Fb%20c+d%E4",
    );
    leads("https:/e.com", "https://e.com/");
    leads("https:e.com", "https://e.com/");
    leads("https://e.com\\@x", "https://e.com/@x");
}

#[test]
fn case_43_odd_characters_stay() {
    leads(
        "https://e.com/a[1]|,!$'*@?b=[2]|",
        "https://e.com/a[1]|,!$'*@?b=[2]|",
    );
}

#[test]
fn case_44_a_fragment_is_kept() {
    leads("https://e.com/#/route?x=1", "https://e.com/#/route?x=1");
    leads("https://e.com/#:~:text=a", "https://e.com/#:~:text=a");
}

#[test]
fn case_45_userinfo_is_left() {
    stays("https://user:pw@e.com/", Reason::Userinfo);
}

#[test]
fn case_46_a_private_address_is_tracked_and_a_dead_link_of_ours_left() {
    leads("http://192.168.0.1/x", "http://192.168.0.1/x");
    leads("http://localhost:3000/", "http://localhost:3000/");
    stays("https://links.shop.example/c/abc", Reason::AlreadyTracked);
}

#[test]
fn case_47_a_tracking_url_has_a_longest_length() {
    let of = |length: usize| format!("https://e.com/{}", "x".repeat(length - 14));
    leads(&of(1_000 - 200), &of(1_000 - 200));
    for length in [2_000, 4_000, 65_536] {
        stays(&of(length), Reason::TooLong);
    }
    let longest = (800..1_600).rev().find(|length| {
        let (_, rewritten) = html(
            clicks_only(),
            format!("<a href={}>", of(*length)).as_bytes(),
        );
        rewritten.report.links[0]
            .url
            .as_ref()
            .is_some_and(|url| url.len() <= URL_MAX_CHARS)
    });
    let longest = longest.expect("some length fits");
    leads(&of(longest), &of(longest));
    stays(&of(longest + 1), Reason::TooLong);
}

#[test]
fn case_48_links_over_the_cap_are_left() {
    let mut small = domain("shop");
    small.clicks.links_max = 2;
    let mut job = job_of(small);
    job.tracking.opens = false;
    let links: String = (0..4)
        .map(|n| format!("<a href=https://e.com/{n}></a>"))
        .collect();
    let done = rewrite(job, links);
    let too_many = Some(Reason::TooMany);
    assert_eq!(done.reasons(), [None, None, too_many, too_many]);
    assert_eq!(done.warnings(), [WarningCode::TooManyLinks]);
}

#[test]
fn case_48_ten_thousand_links_are_tracked() {
    let links: String = (0..10_000)
        .map(|n| format!("<a href=https://e.com/{n}></a>"))
        .collect();
    let (_, rewritten) = html(clicks_only(), links.as_bytes());
    assert_eq!(rewritten.links.len(), 10_000);
    assert_eq!(rewritten.links[9_999].position, LinkPosition(10_000));
}

#[test]
fn case_49_the_same_url_has_a_position_per_place() {
    let done = check(
        &"<a href=https://e.com/>x</a>".repeat(3),
        &"<a href={https://e.com/}>x</a>".repeat(3),
    );
    assert_eq!(done.positions(), [1, 2, 3]);
}

#[test]
fn case_50_a_prefix_of_another_url_has_its_own_target() {
    check(
        "<a href=https://e.com/a>x</a><a href=https://e.com/a/b>x</a><a href=https://e.com/a>x</a>",
        "<a href={https://e.com/a}>x</a><a href={https://e.com/a/b}>x</a><a href={https://e.com/a}>x</a>",
    );
}

#[test]
fn case_50a_one_of_two_links_to_a_url_is_opted_out() {
    check(
        "<a href=https://e.com/a>x</a><a data-no-track href=https://e.com/a>x</a>",
        "<a href={https://e.com/a}>x</a><a href=https://e.com/a\t >x</a>",
    );
}

#[test]
fn case_50b_an_opted_out_url_may_begin_with_a_tracked_one() {
    check(
        "<a href=https://e.com/a>x</a><a href=https://e.com/a/b class=untracked>x</a>",
        "<a href={https://e.com/a}>x</a><a href=https://e.com/a/b class=untracked>x</a>",
    );
}

#[test]
fn case_50c_metacharacters_mean_nothing() {
    for url in [
        "https://e.com/?a~b$1",
        "https://e.com/$0(.*)+[a]?^",
        "https://e.com/?a=\\\\0",
    ] {
        let target = if url.contains('\\') {
            "https://e.com/?a=\\\\0"
        } else {
            url
        };
        leads(url, target);
    }
}

#[test]
fn case_51_a_text_that_is_a_url_is_left() {
    for text in [
        "https://e.com",
        " https://e.com/x ",
        "<b>https://</b>e.com",
        "https://e<wbr>.com",
        "www.e.com",
        "<!-- x -->https&#58;//e.com",
        "<span style='x'>https://e.com</span><style>y</style>",
    ] {
        left(
            &format!("<a href='https://e.com'>{text}</a>"),
            &[Reason::TextIsUrl],
        );
        left(
            &format!("<a href='https://e.com'>{text}"),
            &[Reason::TextIsUrl],
        );
        left(
            &format!("<td><a href='https://e.com'>{text}</td> and more"),
            &[Reason::TextIsUrl],
        );
    }
}

#[test]
fn case_51_another_text_is_tracked() {
    for text in [
        "more",
        "https://www.shop.example",
        "",
        "see<br>e.com",
        "<img alt='https://e.com'>",
        "<!-- https://e.com -->",
        "<title>https://e.com</title>",
    ] {
        check(
            &format!("<a href='https://e.com'>{text}</a>https://e.com"),
            &format!("<a href='{{https://e.com}}'>{text}</a>https://e.com"),
        );
    }
    let far = " ".repeat(4096);
    check(
        &format!("<a href='https://e.com'>{far}https://e.com</a>"),
        &format!("<a href='{{https://e.com}}'>{far}https://e.com</a>"),
    );
}

#[test]
fn case_51_the_domain_or_the_link_can_want_it_tracked() {
    let input = "<a href='https://e.com'>https://e.com</a>";
    let mut wanted = domain("shop");
    wanted.clicks.url_text = LinkChoice::Track;
    let mut job = job_of(wanted);
    job.tracking.opens = false;
    assert_eq!(
        rewrite(job, input).plain(),
        "<a href='{https://e.com}'>https://e.com</a>"
    );
    check(
        "<a data-track href='https://e.com'>https://e.com</a>",
        "<a data-track href='{https://e.com}'>https://e.com</a>",
    );
}

#[test]
fn case_51a_a_credential_is_left() {
    stays("https://e.com/reset?token=abc", Reason::Sensitive);
    check(
        "<a href='https://e.com/reset?token=abc' data-track>x</a>",
        "<a href='{https://e.com/reset?token=abc}' data-track>x</a>",
    );
}

#[test]
fn case_51b_a_host_without_scheme_is_left_with_a_warning() {
    for value in ["www.e.com", "e.com/x"] {
        let done = left(
            &format!("<a href='{value}'>x</a>"),
            &[Reason::SchemelessHost],
        );
        assert_eq!(done.warnings(), [WarningCode::SchemelessHost]);
    }
}

#[test]
fn case_51c_a_host_that_is_never_tracked_is_left() {
    stays("https://never.example/x", Reason::NeverTrack);
}

#[test]
fn case_51d_a_rewritten_line_that_is_too_long_is_warned_of() {
    let filler = "x".repeat(950);
    for (input, warned) in [
        (format!("{filler}<a href=https://e.com/>"), true),
        (
            format!("{filler}\r\n<a href=https://e.com/>\r\n{filler}"),
            false,
        ),
        (format!("{filler}{filler}"), false),
    ] {
        let done = rewrite(clicks_only(), &input);
        assert_eq!(
            done.warnings().contains(&WarningCode::LineOver998),
            warned,
            "{input}"
        );
    }
}

#[test]
fn case_51e_a_mail_of_an_unverified_host_comes_back_unchanged() {
    let mut unverified = domain("shop");
    unverified.verified = false;
    let input = "<body>{{mailtrail:pixel}}<a clicktracking=off href=https://e.com/1>x</a>\
                 <a href=https://e.com/2>x</a><a href={{mailtrail:optout}}>x</a></body>";
    let done = rewrite(job_of(unverified), input);
    assert_eq!(done.output, input);
    assert_eq!(done.reasons()[1], Some(Reason::HostUnverified));
    assert_eq!(done.no_pixel(), Some(PixelReason::HostUnverified));
    assert_eq!(done.warnings(), [WarningCode::HostUnverified]);
    assert!(done.rewritten.links.is_empty());
}

#[test]
fn every_opt_out_marker_is_honoured_and_removed() {
    for marker in [
        "clicktracking=off",
        "clicktracking=\"OFF\"",
        "ses:no-track",
        "data-pm-no-track",
        "disable-tracking=true",
        "mc:disable-tracking",
        "data-msys-clicktrack=\"0\"",
        "data-as-no-track",
        "data-no-track",
        "data-mg-notrack",
        "mautic:disable-tracking=\"true\"",
        "data-skip-click",
        "DATA-NO-TRACK=''",
    ] {
        for job in [clicks_only(), {
            let mut job = clicks_only();
            job.tracking.clicks = false;
            job
        }] {
            let done = rewrite(
                job,
                format!("<a\n{marker} id=a  {marker} href='https://e.com/'\n{marker}>x</a>"),
            );
            assert_eq!(
                done.output, "<a id=a href='https://e.com/'\t >x</a>",
                "{marker}"
            );
            assert_eq!(done.reasons(), [Some(Reason::OptedOut)]);
        }
    }
}

#[test]
fn a_marker_of_another_value_marks_nothing() {
    for marker in [
        "clicktracking=on",
        "disable-tracking=false",
        "data-msys-clicktrack=1",
    ] {
        check(
            &format!("<a {marker} href='https://e.com/'>x</a>"),
            &format!("<a {marker} href='{{https://e.com/}}'>x</a>"),
        );
    }
}

#[test]
fn a_class_that_opts_out_stays() {
    left(
        "<a class='btn UNTRACKED' href='https://e.com/'>x</a>",
        &[Reason::OptedOut],
    );
}

#[test]
fn a_removed_marker_never_joins_its_neighbours() {
    for (input, expected) in [
        (
            "<a data-no-track=''href='https://e.com/'>x</a>",
            "<a href='https://e.com/'\t >x</a>",
        ),
        (
            "<a id='a'data-no-track=''href='https://e.com/'>",
            "<a id='a'href='https://e.com/'\t >",
        ),
        (
            "<a id data-no-track =x href='https://e.com/'>",
            "<a id href='https://e.com/'\t >",
        ),
        (
            "<a href=https://e.com/ data-no-track/>",
            "<a href=https://e.com/\t />",
        ),
    ] {
        assert_eq!(rewrite(clicks_only(), input).output, expected);
    }
}

#[test]
fn an_opt_out_scheme_is_taken_out() {
    for (value, left) in [
        ("https+notrack://e.com/x", "https://e.com/x"),
        ("HTTP+NoTrack://e.com/x", "HTTP://e.com/x"),
        (
            "https&#43;notrack://e.com/?a&amp;b",
            "https://e.com/?a&amp;b",
        ),
    ] {
        let done = rewrite(clicks_only(), format!("<a href=\"{value}\">x</a>"));
        assert_eq!(done.output, format!("<a href=\"{left}\"\t >x</a>"));
        assert_eq!(done.reasons(), [Some(Reason::OptedOut)]);
    }
}

#[test]
fn a_link_can_be_named_by_every_vendors_attribute() {
    for attribute in [
        "data-link-name",
        "data-msys-linkname",
        "data-cio-tag",
        "ses:tags",
    ] {
        let done = check(
            &format!("<a {attribute}=' top &amp; first ' href='https://e.com/'>x</a>"),
            "<a href='{https://e.com/}'>x</a>",
        );
        let name = Some("top & first".to_owned());
        assert_eq!(
            (&done.links()[0].name, &done.rewritten.links[0].name),
            (&name, &name)
        );
    }
    let done = rewrite(
        clicks_only(),
        "<a ses:tags=b href='mailto:x' data-link-name=a>x</a>",
    );
    assert_eq!(done.output, "<a href='mailto:x'>x</a>");
    assert_eq!(done.links()[0].name.as_deref(), Some("a"));
}

#[test]
fn an_app_link_gets_an_app_token() {
    let done = check(
        "<a data-app-link href='https://e.com/'>x</a>",
        "<a data-app-link href='{https://e.com/}'>x</a>",
    );
    let url = done.links()[0].url.as_deref().expect("tracked");
    assert!(url.contains("/a/") && matches!(done.open(url).purpose, Purpose::App(_)));
}

#[test]
fn case_101_the_opt_out_placeholder_becomes_the_readers_link() {
    for value in [
        "{{mailtrail:optout}}",
        "%7b%7Bmailtrail:optout%7D%7d",
        "http://{{mailtrail:optout}}",
        "https://{{mailtrail:optout}}/",
        "%7B%7Bmailtrail%3Aoptout%7D%7D",
        "%7b%7bmailtrail%3aoptout%7d%7d",
        "http://%7B%7Bmailtrail:optout%7D%7D/",
    ] {
        for tracked in [true, false] {
            let mut job: Job = clicks_only();
            job.tracking.clicks = tracked;
            let done = rewrite(job, format!("<a href='{value}'>x</a>"));
            let url = &done.output[9..done.output.len() - 7];
            let claim = done.open(url);
            assert_eq!(
                (claim.purpose, &claim.mail),
                (Purpose::Withdraw, &done.job.mail)
            );
            assert!(done.rewritten.links.is_empty());
            let link = &done.links()[0];
            assert_eq!(
                (link.reason, link.url.as_deref()),
                (Some(Reason::OptOutLink), Some(url))
            );
        }
    }
    let mut job = clicks_only();
    job.mail.recipient = None;
    let done = rewrite(job, "<a href='{{mailtrail:optout}}'>x</a>");
    assert_eq!(done.output, "<a href='{{mailtrail:optout}}'>x</a>");
    assert_eq!(done.warnings(), [WarningCode::OptOutWithoutRecipient]);
}
