//! How a start goes: what flags say, who makes the schema, whom it trusts.

use std::{fs, thread};

use mailtrail_tests::{Flags, Postgres, root};

use crate::world::{DOMAIN, Replica, click, mail, metric, until_shipped};

#[test]
fn flags_that_name_no_database_are_told_by_their_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = || Flags::new(root().join("examples/manifests"), folder.path());
    let url = "postgres://m:geheim@127.0.0.1/mail";
    for (flags, said) in [
        (
            base().with("--postgres", "mysql://m@127.0.0.1/mail"),
            "--postgres",
        ),
        (
            base()
                .with("--postgres", url)
                .with("--postgres-password", "/nowhere"),
            "--postgres-password",
        ),
        (
            base()
                .with("--postgres", url)
                .with("--postgres-ca", "/nowhere"),
            "--postgres-ca",
        ),
        (base().with("--replicas", "2"), "--replicas 2"),
        (base().with("--spool-max", "2MiB"), "--spool-max"),
    ] {
        let (status, told) = flags.refused();
        assert!(!status.success() && told.contains(said), "{told}");
        assert!(!told.contains("geheim"), "{told}");
    }
}

#[test]
fn replicas_that_start_at_once_make_the_schema_once() {
    for _ in 0..3 {
        let database = Postgres::shared().database();
        let replicas: Vec<_> = (0..4).map(|_| Replica::first(&database)).collect();
        thread::scope(|scope| {
            for replica in &replicas {
                scope.spawn(|| drop(replica.start()));
            }
        });
        // Each of those that there are, in their order.
        let there = fs::read_dir(root().join("dataplane/src/postgres/schema"));
        let there = 1..=there.expect("a folder").count();
        let expected: Vec<_> = there.map(|version| version.to_string()).collect();
        let versions = "SELECT string_agg(version::text, ',' ORDER BY made_at, version) FROM mailtrail.migrations";
        assert_eq!(database.sql(versions), expected.join(","));
        assert_eq!(
            database.number("SELECT count(*) FROM mailtrail.replicas"),
            4
        );
        assert_eq!(database.number("SELECT count(*) FROM mailtrail.install"), 1);
    }
}

#[test]
fn a_schema_of_a_later_version_is_left_alone_and_links_lead_home() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let urls = mail(&program, "m-1", None, 1);
    assert!(program.stop().success());
    let rows =
        "SELECT (SELECT count(*) FROM mailtrail.hits) + (SELECT count(*) FROM mailtrail.events)";
    let before = database.number(rows);
    database.sql("INSERT INTO mailtrail.migrations VALUES (99)");
    let program = replica.start();
    click(&program, &urls[0]);
    program.until("it says so", |program| {
        let log = program.log();
        log.contains("version 99") && log.contains("a later one has used it")
    });
    assert_eq!(database.number(rows), before);
    drop(program);
    database.sql("DELETE FROM mailtrail.migrations WHERE version = 99");
    let program = replica.start();
    program.events_once_settled("demo/links", 1);
}

/// From what there is to the schema of version 1, with the rows that are in it.
const BACK_TO_THE_FIRST: &str = "
    ALTER TABLE mailtrail.replicas DROP COLUMN keys;
    ALTER TABLE mailtrail.sent_counts DROP COLUMN sent_anonymous;
    DROP TABLE mailtrail.last_dates, mailtrail.counted;
    ALTER TABLE mailtrail.mails DROP COLUMN sent_at;
    ALTER TABLE mailtrail.hit_counts
      DROP COLUMN opened_people_anonymous, DROP COLUMN opened_machines_anonymous,
      DROP COLUMN opened_unknown_anonymous, DROP COLUMN clicked_people_anonymous,
      DROP COLUMN clicked_machines_anonymous, DROP COLUMN clicked_unknown_anonymous;
    DELETE FROM mailtrail.migrations WHERE version > 1";
/// Every column of the schema, but of the partitions of days.
const COLUMNS: &str = r"SELECT string_agg(table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable, ', ' ORDER BY table_name, column_name)
    FROM information_schema.columns WHERE table_schema = 'mailtrail' AND table_name !~ '_\d+$'";

#[test]
fn a_schema_of_the_first_version_is_brought_up_to_date_with_its_rows() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let urls = mail(&program, "m-1", Some("ada"), 1);
    click(&program, &urls[0]);
    let before = program.events_once_settled(DOMAIN, 1);
    until_shipped(&program);
    assert!(program.stop().success());
    let columns = database.sql(COLUMNS);
    database.sql(BACK_TO_THE_FIRST);
    let first = database.sql(COLUMNS);
    assert!(
        first.len() < columns.len() && first.contains("mails.key"),
        "{first}"
    );

    let program = replica.start();
    assert_eq!(program.events_once_settled(DOMAIN, 1), before);
    assert_eq!(database.sql(COLUMNS), columns);
    // The same mail again is no mail more, and a second click no first one.
    let urls = mail(&program, "m-1", Some("ada"), 1);
    click(&program, &urls[0]);
    let after = program.events_once_settled(DOMAIN, 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1]["first"], serde_json::Value::Null, "{after:#?}");
    let stats = program.get(program.api(), &format!("/v1/domains/{DOMAIN}/stats"));
    let total = &stats.json()["total"];
    assert_eq!(
        (&total["sent"], &total["clicked"]["people"]),
        (&1.into(), &2.into()),
        "{total}"
    );
}

#[test]
fn a_certificate_is_verified_with_the_hosts_name() {
    let server = Postgres::shared();
    let database = server.database();
    let folder = tempfile::tempdir().expect("a folder");
    let flags = |url: String, ca: Option<&std::path::Path>| {
        let flags = Flags::new(root().join("examples/manifests"), folder.path())
            .with("--postgres", url)
            .with(
                "--postgres-password",
                server.password_file().to_string_lossy(),
            );
        match ca {
            Some(ca) => flags.with("--postgres-ca", ca.to_string_lossy()),
            None => flags,
        }
    };
    let verified = format!("{}?sslmode=verify-full", database.url());
    // Nothing that the system trusts vouches for it.
    let program = flags(verified.clone(), None).start_unready();
    program.until("it says what to set", |program| {
        program.log().contains("with --postgres-ca")
    });
    drop(program);
    // Another name leads to the same server.
    let other = verified.replace("127.0.0.1", "127.0.0.2");
    let other = format!("{other}&hostaddr=127.0.0.1");
    let program = flags(other, Some(&server.ca_file())).start_unready();
    program.until("it is refused", |program| {
        program.log().contains("certificate is not accepted")
    });
    drop(program);
    let program = flags(verified, Some(&server.ca_file())).start();
    let urls = mail(&program, "m-1", None, 1);
    click(&program, &urls[0]);
    program.events_once_settled("demo/links", 1);
    let connections = "SELECT string_agg(DISTINCT s.ssl::text, ',') FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE a.datname = current_database() AND a.application_name = 'mailtrail'";
    assert_eq!(database.sql(connections), "true");
}

#[test]
fn a_replica_whose_links_the_others_cannot_open_does_not_join() {
    let database = Postgres::shared().database();
    let first = Replica::first(&database);
    let here = first.start();
    until_shipped(&here);
    // It makes a keyring of its own.
    let other = Replica::first(&database);
    let there = other.start();
    there.until("it says so", |there| {
        there.log().contains("shares no key with this one's")
    });
    let link = mail(&there, "m-1", None, 1);
    click(&there, &link[0]);
    assert!(metric(&there, "mailtrail_postgres_connected") < 1.0);
    assert_eq!(here.events(DOMAIN), Vec::<serde_json::Value>::new());
    assert!(there.stop().success());
    // With the others' keyring what waited is shipped.
    let keyring = first.folder.path().join("keyring.json");
    let other = other.with("--keyring", &keyring.to_string_lossy());
    let there = other.start();
    until_shipped(&there);
    assert_eq!(here.events_once_settled(DOMAIN, 1).len(), 1);
}

#[test]
fn a_spool_is_not_taken_for_a_store() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    assert!(replica.start().stop().success());
    let without = Flags::new(root().join("examples/manifests"), replica.folder.path());
    let (status, said) = without.refused();
    assert!(!status.success() && said.contains("--postgres"), "{said}");
}

#[test]
fn events_and_withdrawals_of_a_time_without_a_database_are_brought_along() {
    let database = Postgres::shared().database();
    let folder = tempfile::tempdir().expect("a folder");
    let flags = Flags::new(root().join("examples/manifests"), folder.path());
    let program = flags.start();
    let urls = mail(&program, "m-1", Some("ada"), 1);
    let mine = mail(&program, "m-1", Some("bob"), 1);
    click(&program, &urls[0]);
    let before = program.events_once_settled("demo/links", 1);
    let erase = serde_json::json!({"recipient": "bob"});
    let erased = program.post("/v1/domains/demo/links/recipients/erase", &erase);
    assert_eq!(erased.status, 200);
    assert!(program.stop().success());

    let program = database.behind(flags).start();
    click(&program, &mine[0]);
    click(&program, &urls[0]);
    let after = program.events_once_settled("demo/links", 2);
    assert_eq!(after[0], before[0]);
    assert_eq!(
        (&after[1]["recipient"], &after[1]["first"]),
        (&"ada".into(), &serde_json::Value::Null)
    );
    assert_eq!(after.len(), 2);
}
