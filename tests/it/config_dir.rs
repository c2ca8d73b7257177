//! ConfigShards from a folder: what a replica serves, keeps, and says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use mailtrail_core::ack::{Answer, CODE_HEADER, Question, ShardState, Way, code, verify};
use mailtrail_core::config::{Clicks, Domain, Opens};
use mailtrail_core::keyring::{KeyState, Keyring};
use mailtrail_tests::{Flags, Program};
use serde_json::{Value, json};
use tempfile::TempDir;

const COUNT: u16 = 2;
const POD: &str = "0f5a2c8e-9d41-4f7b-8a36-1b2c3d4e5f60";

/// A folder of shards, a keyring, and a replica's data.
struct World {
    folder: TempDir,
    keyring: Keyring,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("shards")).expect("a folder");
        let mut random = [5; 35];
        random[9] = 6;
        let keyring = Keyring::generate(random).expect("a keyring");
        let world = Self { folder, keyring };
        world.write_keyring(&world.keyring);
        for index in 0..COUNT {
            world.write(index, 1, json!([]));
        }
        world
    }

    fn write_keyring(&self, keyring: &Keyring) {
        let beside = self.keyring_file().with_extension("new");
        fs::write(&beside, keyring.to_document()).expect("written");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::rename(&beside, self.keyring_file()).expect("in place");
    }

    fn keyring_file(&self) -> PathBuf {
        self.folder.path().join("keyring.json")
    }

    /// A state of a shard, as `kubectl get -o json` has it.
    fn write(&self, index: u16, generation: i64, entries: Value) {
        let name = format!("config-{index:04}");
        let object = json!({
            "apiVersion": "mailtrail.dev/v1alpha1",
            "kind": "ConfigShard",
            "metadata": {"name": name, "namespace": "mailtrail", "uid": uid(index), "generation": generation},
            "spec": {"version": 1, "index": index, "count": COUNT, "entries": entries},
        });
        let file = self.folder.path().join(format!("shards/{name}.json"));
        fs::write(file, object.to_string()).expect("written");
    }

    fn flags(&self) -> Flags {
        let (shards, data) = (
            self.folder.path().join("shards"),
            self.folder.path().join("data"),
        );
        Flags::of_config_dir(shards, data)
            .with("--keyring", self.keyring_file().to_str().expect("text"))
            .with("--pod-uid", POD)
    }

    /// Asks what is applied of the first shard; gives status and answer.
    fn ask(&self, program: &Program, generation: i64, wait_ms: u32) -> Answer {
        let body = question(POD, generation, wait_ms);
        let code = code(self.keyring.active(), Way::Question, &body);
        let (status, code, body) = post(program, &body, Some(&code));
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let code = code.expect("the answer has a code");
        assert!(verify(&self.keyring, Way::Answer, &body, &code).is_some());
        assert!(verify(&self.keyring, Way::Question, &body, &code).is_none());
        serde_json::from_slice(&body).expect("an answer")
    }
}

fn uid(index: u16) -> String {
    format!("6f0c2d4e-3b1a-4c58-9d27-0e8f5a7b{index:04}")
}

fn entry(opens: bool) -> Value {
    let (realm, host) = ("demo/links", "links.localhost");
    let domain = Domain {
        generation: 3,
        verified: true,
        opens: Opens {
            enabled: opens,
            ..Opens::default()
        },
        clicks: Clicks {
            enabled: true,
            ..Clicks::default()
        },
        ..Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
    };
    serde_json::to_value(domain).expect("an entry")
}

fn mail() -> Value {
    let html = "<p>Hello</p><a href=\"https://shop.example/offer\">Look</a>";
    json!({"domain": "demo/links", "message_id": "m", "html": html})
}

fn opens(program: &Program) -> Value {
    program.rewrite(&mail())["report"]["pixel"]["placed"].clone()
}

fn question(pod: &str, generation: i64, wait_ms: u32) -> Vec<u8> {
    let question = Question {
        version: 1,
        nonce: "00112233445566778899aabbccddeeff".to_owned(),
        pod_uid: pod.to_owned(),
        shards: vec![ShardState {
            index: 0,
            uid: uid(0),
            generation,
        }],
        wait_ms,
        deliveries: false,
    };
    serde_json::to_vec(&question).expect("a question")
}

/// Posts to the admin port: status, code and body of the answer.
fn post(program: &Program, body: &[u8], code: Option<&str>) -> (u16, Option<String>, Vec<u8>) {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.post(format!("http://{}/config", program.admin()));
    if let Some(code) = code {
        request = request.header(CODE_HEADER, code);
    }
    let mut response = request.send(body).expect("an answer");
    let code = response.headers().get(CODE_HEADER);
    let code = code.map(|code| code.to_str().expect("text").to_owned());
    let body = response.body_mut().read_to_vec().expect("a body");
    (response.status().as_u16(), code, body)
}

#[test]
fn a_changed_shard_is_obeyed_by_the_next_rewrite() {
    let world = World::new();
    world.write(0, 2, json!([entry(true)]));
    let program = world.flags().start();
    assert_eq!(opens(&program), true);
    world.write(0, 3, json!([entry(false)]));
    program.until("the toggle is off", |program| opens(program) == false);
    // What cannot be read is refused alone and told; the last good one is served.
    let mut later = entry(true);
    later["later"] = json!(true);
    world.write(0, 4, json!([later]));
    let answer = world.ask(&program, 4, 2_000);
    assert_eq!(answer.shards[0].generation, 4);
    assert_eq!(answer.refused.len(), 1);
    let refused = &answer.refused[0];
    assert!(
        refused.rule.contains("unknown field `later`"),
        "{refused:?}"
    );
    assert_eq!(
        refused.realm.as_ref().map(|realm| realm.as_str()),
        Some("demo/links")
    );
    assert_eq!(opens(&program), false);
    let shown = program.get(program.admin(), "/config").json();
    assert_eq!(shown["shards"][0]["generation"], 4);
    assert_eq!(shown["shards"][0]["refused"][0]["realm"], "demo/links");
    let metrics = program.get(program.admin(), "/metrics").text();
    assert!(
        metrics.contains("mailtrail_config_entries_refused 1"),
        "{metrics}"
    );
}

#[test]
fn what_was_served_last_is_served_after_a_restart_without_its_source() {
    let world = World::new();
    world.write(0, 2, json!([entry(true)]));
    let program = world.flags().start();
    let link = program.rewrite(&mail())["report"]["links"][0]["url"].clone();
    assert!(program.stop().success());
    for index in 0..COUNT {
        let file = format!("shards/config-{index:04}.json");
        fs::remove_file(world.folder.path().join(file)).expect("removed");
    }
    let program = world.flags().start();
    assert_eq!(opens(&program), true);
    let answer = program.follow(link.as_str().expect("a link"));
    assert_eq!(answer.status, 302);
    // It is served, and not said to be applied: nobody has confirmed it.
    assert!(world.ask(&program, 2, 0).shards.is_empty());
    let file = world.folder.path().join("data/shards/0000.json");
    assert!(program.stop().success());
    fs::write(file, "{").expect("damaged");
    world.write(0, 3, json!([entry(false)]));
    let program = world.flags().start();
    assert_eq!(opens(&program), false);
    assert!(program.log().contains("0000.json"));
}

#[test]
fn a_question_waits_until_what_it_asks_for_is_applied() {
    let world = World::new();
    world.write(0, 2, json!([entry(true)]));
    let program = world.flags().start();
    let answer = world.ask(&program, 2, 0);
    assert_eq!(answer.pod_uid, POD);
    assert_eq!(answer.nonce, "00112233445566778899aabbccddeeff");
    let state = ShardState {
        index: 0,
        uid: uid(0),
        generation: 2,
    };
    assert_eq!(answer.shards, [state]);
    let keys: Vec<_> = answer.keys.iter().map(|key| (key.id, key.state)).collect();
    assert_eq!(keys, [(world.keyring.active().id, KeyState::Active)]);
    // The time is up: what is applied is told.
    let answer = world.ask(&program, 3, 50);
    assert_eq!(answer.shards[0].generation, 2);
    // It is applied while the question waits.
    world.write(0, 3, json!([entry(false)]));
    let answer = world.ask(&program, 3, 2_000);
    assert_eq!(answer.shards[0].generation, 3);
    assert_eq!(opens(&program), false);
}

#[test]
fn a_question_that_is_forged_or_for_another_pod_is_told_nothing() {
    let world = World::new();
    let program = world.flags().start();
    let sign = |body: &[u8]| code(world.keyring.active(), Way::Question, body);
    let body = question(POD, 1, 0);
    let another_pod = question("another", 1, 0);
    let as_answer = code(world.keyring.active(), Way::Answer, &body);
    for (body, code) in [
        (&body, None),
        (&body, Some("000000:00".to_owned())),
        (&body, Some(sign(b"another question"))),
        (&body, Some(as_answer)),
        (&another_pod, Some(sign(&another_pod))),
    ] {
        let (status, answer_code, said) = post(&program, body, code.as_deref());
        let said = String::from_utf8(said).expect("text");
        assert_eq!((status, answer_code), (403, None), "{said}");
        assert!(!said.contains("shards") && !said.contains(POD), "{said}");
    }
    let too_long = question(POD, 1, 60_000);
    let (status, _, said) = post(&program, &too_long, Some(&sign(&too_long)));
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&said).contains("waitMs"));
}

#[test]
fn a_staged_key_is_told_within_a_moment() {
    let world = World::new();
    let program = world.flags().start();
    let mut random = [7; 35];
    random[9] = 8;
    let staged = world.keyring.stage(random).expect("staged");
    world.write_keyring(&staged);
    let id = staged.staged().expect("staged").id;
    let begun = std::time::Instant::now();
    program.until("the staged key is told", |program| {
        let keys = world.ask(program, 1, 0).keys;
        keys.iter()
            .any(|key| key.id == id && key.state == KeyState::Staged)
    });
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}
