//! Bad rules files: each fault told by line, field and what would be right.

use super::*;

const GOOD: &str = "\
version: 1
networks:
  - name: example
    source: https://ranges.example/published.json
    date: 2026-09-21
    ranges: [192.0.2.0/24]
signs:
  - name: in_example
    networks: [example]
  - name: tool
    userAgent: {startsWith: [tool/]}
rules:
  - name: tool
    when: {any: [tool]}
    verdict: scanner
";

fn refused(text: &str) -> String {
    let error = rules(text).expect_err("a bad file");
    error.to_string()
}

/// The good file with one line changed is refused in these words.
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from}");
    let told = refused(&GOOD.replacen(from, to, 1));
    assert!(told.contains(expected), "{told}");
    assert!(!told.contains('\n'), "one fault, told once: {told}");
}

#[test]
fn a_good_file_is_read() {
    let read = rules(GOOD).expect("good rules");
    assert_eq!(
        read.names,
        ["burst", "delivery_window", "in_example", "tool"]
    );
    assert_eq!(read.rules.len(), 1);
    assert_eq!(read.delivery_window, DELIVERY_WINDOW_DEFAULT);
}

#[test]
fn another_version_or_field_is_refused() {
    check("version: 1", "version: 2", "line 1: version: must be 1");
    check(
        "when:",
        "whenever: {}\n    when:",
        "line 14: unknown field `whenever`",
    );
    check(
        "verdict: scanner",
        "verdict: robot",
        "line 15: rules[0].verdict: must be one of human, proxy, prefetch, scanner, unknown, not robot",
    );
    check(
        "    when:",
        "    for: seen\n    when:",
        "line 14: rules[0].for: must be one of opened, clicked, both, not seen",
    );
    assert!(refused("version: 1\nsigns: [").starts_with("line "));
    assert!(refused("").starts_with("line 1: "));
    assert!(refused("version: 1\nsigns: []\n").contains("missing field `rules`"));
}

#[test]
fn case_90_a_network_without_its_published_source_and_date_is_refused() {
    check(
        "    source: https://ranges.example/published.json\n",
        "",
        "networks[0].source: must be the https:// address",
    );
    check(
        "https://ranges.example",
        "ftp://ranges.example",
        "line 4: networks[0].source",
    );
    check(
        "    date: 2026-09-21\n",
        "",
        "networks[0].date: must be the day",
    );
    check(
        "2026-09-21",
        "2026-13-01",
        "line 5: networks[0].date: must be the day",
    );
}

#[test]
fn ranges_are_read_strictly() {
    check(
        "192.0.2.0/24",
        "192.0.2.0/33",
        "line 6: networks[0].ranges[0]: must be an address range",
    );
    check(
        "192.0.2.0/24",
        "192.0.2.1/24",
        "has bits beyond its prefix: 192.0.2.0/24 is meant?",
    );
    check(
        "[192.0.2.0/24]",
        "[]",
        "networks[0].ranges: must have ranges",
    );
}

#[test]
fn case_90_a_rule_that_a_range_alone_would_decide_is_refused() {
    let alone = "line 13: rules[0].when: must need a sign that no address range gives";
    check("any: [tool]", "any: [in_example]", alone);
    check("any: [tool]", "any: [tool, in_example]", alone);
    check("any: [tool]", "all: [in_example], none: [tool]", alone);
    check(
        "userAgent: {startsWith: [tool/]}",
        "userAgent: {words: [x]}\n    networks: [example]",
        &alone.replace("13", "14"),
    );

    let with_a_second = ["all: [tool, in_example]", "all: [tool], any: [in_example]"];
    for when in with_a_second {
        rules(&GOOD.replacen("any: [tool]", when, 1)).expect(when);
    }
}

#[test]
fn a_rule_that_nothing_speaks_for_is_refused() {
    check(
        "{any: [tool]}",
        "{none: [tool]}",
        "rules[0].when: must name a sign in all or any",
    );
    check(
        "{any: [tool]}",
        "{}",
        "rules[0].when: must name a sign in all or any",
    );
}

#[test]
fn names_that_lead_nowhere_or_are_there_twice_are_refused() {
    check(
        "any: [tool]",
        "any: [tool, tol]",
        "line 14: rules[0].when.any[1]: names no sign: tol",
    );
    check(
        "networks: [example]",
        "networks: [other]",
        "line 9: signs[0].networks[0]: names no network: other",
    );
    check(
        "any: [tool]",
        "any: [tool, burst], none: [Tool]",
        "line 14: rules[0].when.none[0]: names no sign: Tool",
    );
    let twice = refused(&GOOD.replacen("name: in_example", "name: burst", 1));
    assert!(twice.starts_with("line 8: signs[0].name: is there twice, or is one of time"));
    check(
        "name: tool\n    when",
        "name: Tool\n    when",
        "line 13: rules[0].name: must begin with a small letter",
    );
}

#[test]
fn a_sign_that_looks_for_nothing_or_would_always_hold_is_refused() {
    check(
        "userAgent: {startsWith: [tool/]}",
        "headers: []",
        "line 10: signs[1]: must say what it looks for",
    );
    check(
        "[tool/]",
        "['']",
        "line 11: signs[1].userAgent.startsWith[0]: must not be empty",
    );
    check(
        "userAgent: {startsWith: [tool/]}",
        "headers: [{name: X-A}]",
        "line 11: signs[1].headers[0]: must say what its value is",
    );
    check(
        "userAgent: {startsWith: [tool/]}",
        "headers: [{name: 'X A', equals: [a]}]",
        "line 11: signs[1].headers[0].name: must be a header's name",
    );
}

#[test]
fn the_delivery_window_has_a_unit_and_a_bound() {
    let expected = "line 2: deliveryWindow: must be seconds or minutes";
    for bad in ["60", "0s", "61m", "1h", "-1s", "s", "+1s", "99999999s"] {
        check(
            "networks:",
            &format!("deliveryWindow: {bad}\nnetworks:"),
            expected,
        );
    }
    for good in ["1s", "60m", "3600s"] {
        let text = GOOD.replacen(
            "networks:",
            &format!("deliveryWindow: {good}\nnetworks:"),
            1,
        );
        rules(&text).expect(good);
    }
}

#[test]
fn all_faults_are_told_at_once_in_their_order() {
    let text = GOOD
        .replacen("192.0.2.0/24", "x", 1)
        .replacen("any: [tool]", "any: [tol]", 1)
        .replacen("verdict: scanner", "verdict: robot", 1);
    let error = rules(&text).expect_err("three faults");
    let lines: Vec<_> = error.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [6, 14, 15]);
}

#[test]
fn everything_has_a_bound() {
    let over =
        |count: usize, line: &dyn Fn(usize) -> String| (0..=count).map(line).collect::<String>();

    let many = over(SIGNS_MAX, &|n| {
        format!("  - name: s{n}\n    userAgent: {{words: [x]}}\n")
    });
    let told = refused(&GOOD.replacen("signs:\n", &format!("signs:\n{many}"), 1));
    assert!(told.contains("signs: must not be more than 62"), "{told}");

    let many = over(RULES_MAX, &|n| {
        format!("  - {{name: r{n}, when: {{any: [tool]}}, verdict: human}}\n")
    });
    let told = refused(&GOOD.replacen("rules:\n", &format!("rules:\n{many}"), 1));
    assert!(told.contains("rules: must not be more than 100"), "{told}");

    let many = over(TEXTS_MAX, &|n| format!("text{n}, "));
    let told = refused(&GOOD.replacen("[tool/]", &format!("[{many}]"), 1));
    assert!(told.contains("more than 1000 texts"), "{told}");

    let many = over(RANGES_MAX, &|n| {
        format!("10.{}.{}.0/24, ", n / 256, n % 256)
    });
    let told = refused(&GOOD.replacen("[192.0.2.0/24]", &format!("[{many}]"), 1));
    assert!(told.contains("more than 20000 ranges"), "{told}");

    let many = over(HEADERS_MAX, &|n| format!("{{name: x-{n}, equals: [a]}}, "));
    let told = refused(&GOOD.replacen(
        "userAgent: {startsWith: [tool/]}",
        &format!("headers: [{many}]"),
        1,
    ));
    assert!(told.contains("more than 16 different headers"), "{told}");

    let long = "x".repeat(TEXT_MAX_BYTES + 1);
    check(
        "[tool/]",
        &format!("[{long}]"),
        "must not be longer than 128 bytes",
    );
    let told = refused(&format!("{GOOD}# {}", "x".repeat(FILE_MAX_BYTES)));
    assert!(told.contains("must not be larger than"), "{told}");
    assert!(refused(&"[".repeat(1000)).starts_with("line 1: "));
}
