//! What is past its retention leaves the database.

use mailtrail_tests::Postgres;

use crate::world::{DOMAIN, Replica, click, mail};

/// Copies the first event to a day long ago, under a number of its own.
const COPY: &str = "INSERT INTO mailtrail.events
    SELECT '017f0000-0000-7000-8000-00000000000§', number - 10, type, '2022-02-16T00:00:00Z', domain, host, message_id,
      recipient, target, position, link_name, verdict, rules, first, test, family, os, device, address, user_agent, own_tags,
      mail_sent FROM mailtrail.events ORDER BY number LIMIT 1";

#[test]
fn days_that_are_past_go_with_their_counts_and_cursors_before_them_are_gone() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let program = replica.start();
    database.sql("UPDATE mailtrail.settling SET number = 100");
    let list = format!("/v1/domains/{DOMAIN}/events");
    let path = |after: &str| format!("{list}?after={after}");
    let urls = mail(&program, "m-1", Some("ada"), 1);
    click(&program, &urls[0]);
    program.events_once_settled(DOMAIN, 1);
    // 19039 is that day. What has no day of its own stands with the others.
    database.sql("CREATE TABLE mailtrail.events_19039 PARTITION OF mailtrail.events
        FOR VALUES FROM ('017f0000-0000-0000-0000-000000000000') TO ('017f0000-ffff-0000-0000-000000000000')");
    database.sql(&COPY.replace('§', "1"));
    database.sql(&COPY.replace('§', "2").replace("017f0000", "017e0000"));
    database.sql("INSERT INTO mailtrail.sent_counts VALUES ('demo/links', 456948, 7)");
    let page = program
        .get(program.api(), &format!("{list}?limit=1"))
        .json();
    let cursor = page["next"].as_str().expect("a cursor").to_owned();
    assert_eq!(program.events(DOMAIN).len(), 3);
    assert!(program.stop().success());

    let program = replica.start();
    program.until("retention has looked", |program| {
        program.log().contains("a day is removed")
    });
    program.until("the others are gone, too", |program| {
        program.events(DOMAIN).len() == 1
    });
    assert_eq!(
        database.sql("SELECT to_regclass('mailtrail.events_19039') IS NULL"),
        "t"
    );
    database.sql("UPDATE mailtrail.settling SET gone_up_to = 95");
    assert_eq!(program.get(program.api(), &path(&cursor)).status, 410);
    program.until("its counts are gone", |_| {
        database.number("SELECT count(*) FROM mailtrail.sent_counts WHERE hour < 480000") == 0
    });
    let ahead = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'mailtrail.events'::regclass";
    assert!(database.number(ahead) >= 9);
}
