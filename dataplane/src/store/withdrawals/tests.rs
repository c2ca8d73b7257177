//! Withdrawals on a simulated disk: what is lost is noticed, and a crash loses
//! nothing.

use std::path::PathBuf;

use prometheus_client::metrics::counter::Counter;

use super::*;
use crate::store::simulated::{Fault, SimulatedDisk};

/// A data folder whose key is on the real disk, and all else on a simulated.
struct Bench {
    folder: Arc<Folder>,
    _dir: tempfile::TempDir,
}

/// A list that is read, and its gauge.
struct List {
    withdrawals: Withdrawals,
    incomplete: Gauge,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let folder = Arc::new(Folder::open(dir.path()).expect("folder"));
        Self { folder, _dir: dir }
    }

    fn open(&self, disk: &SimulatedDisk) -> List {
        self.try_open(disk).expect("opens")
    }

    /// Opens and, unless the power goes, reads the list.
    fn try_open(&self, disk: &SimulatedDisk) -> io::Result<List> {
        let incomplete = Gauge::default();
        let withdrawals = Withdrawals::open(
            Arc::new(disk.clone()),
            Arc::clone(&self.folder),
            JournalMetrics::new(Counter::default()),
            incomplete.clone(),
        )?;
        let list = List {
            withdrawals,
            incomplete,
        };
        while !list.withdrawals.loaded() && !disk.is_off() {
            std::thread::yield_now();
        }
        Ok(list)
    }

    fn file(&self, disk: &SimulatedDisk) -> CountFile {
        CountFile {
            disk: Arc::new(disk.clone()),
            dir: self.folder.dir.clone(),
            key: self.folder.key.clone(),
        }
    }

    fn count(&self, disk: &SimulatedDisk) -> Option<u64> {
        let count = self.file(disk).read().expect("a sound count");
        count.map(|count| count.records)
    }

    fn segment(&self, number: u64) -> PathBuf {
        let name = format!("{FOLDER}/{number:010}.journal");
        self.folder.dir.join(name)
    }

    /// A disk on which these have withdrawn, the last process being closed.
    fn disk_with(&self, names: &[&str]) -> SimulatedDisk {
        let disk = SimulatedDisk::new(1);
        let list = self.open(&disk);
        for name in names {
            list.add(name).wait().expect("kept");
        }
        drop(list);
        disk
    }
}

impl List {
    fn add(&self, name: &str) -> Pending {
        self.withdrawals.add(&realm(), &recipient(name), 1)
    }

    fn check(&self, name: &str) -> Withdrawn {
        self.withdrawals.check(&realm(), &recipient(name))
    }

    fn assert_whole(&self, context: &str) {
        assert_eq!(self.check("nobody"), Withdrawn::No, "{context}");
        assert_eq!(self.incomplete.get(), 0, "{context}");
    }

    fn assert_incomplete(&self, context: &str) {
        assert_eq!(self.check("nobody"), Withdrawn::Incomplete, "{context}");
        assert!(
            self.withdrawals.hold().bars(&realm(), &recipient("nobody")),
            "{context}"
        );
        assert_eq!(self.incomplete.get(), 1, "{context}");
    }
}

fn realm() -> Realm {
    "shop/links".parse().expect("realm")
}

fn recipient(name: &str) -> Recipient {
    name.parse().expect("recipient")
}

#[test]
fn a_withdrawal_is_counted_before_it_is_answered() {
    let bench = Bench::new();
    let disk = SimulatedDisk::new(1);
    let list = bench.open(&disk);
    assert_eq!(bench.count(&disk), None, "nothing to count");
    for (n, name) in ["ada", "bob", "ada", "eve"].into_iter().enumerate() {
        list.add(name).wait().expect("kept");
        let counted = [1, 2, 2, 3][n];
        assert_eq!(bench.count(&disk.after_power_cut()), Some(counted));
    }
}

#[test]
fn whatever_takes_a_withdrawal_is_noticed_and_nobody_is_said_not_to_have_withdrawn() {
    type Loss = fn(&Bench, &SimulatedDisk);
    let losses: [(&str, Loss); 6] = [
        ("the folder is gone", |bench, disk| {
            disk.take(&bench.segment(1));
        }),
        ("it is emptied", |bench, disk| {
            disk.put(&bench.segment(1), &[]);
        }),
        ("it is cut", |bench, disk| {
            let bytes = disk.bytes(&bench.segment(1));
            disk.put(&bench.segment(1), &bytes[..64 + 40 + 10]);
        }),
        ("the first is damaged", |bench, disk| {
            let mut bytes = disk.bytes(&bench.segment(1));
            bytes[64 + 24] ^= 1;
            disk.put(&bench.segment(1), &bytes);
        }),
        ("the last is damaged", |bench, disk| {
            let mut bytes = disk.bytes(&bench.segment(1));
            bytes[64 + 40 + 24] ^= 1;
            disk.put(&bench.segment(1), &bytes);
        }),
        ("the file is noise", |bench, disk| {
            disk.put(&bench.segment(1), &[0x55; 300]);
        }),
    ];
    for (what, lose) in losses {
        let bench = Bench::new();
        let disk = bench.disk_with(&["ada", "bob"]);
        lose(&bench, &disk);
        for _ in 0..2 {
            let list = bench.open(&disk);
            list.assert_incomplete(what);
            // What comes now is kept, and does not make up for what is lost.
            list.add("eve").wait().expect("kept");
            list.add("zoe").wait().expect("kept");
            assert_eq!(list.check("eve"), Withdrawn::Yes, "{what}");
        }
        // As the error says: going on with what is left.
        disk.take(&bench.file(&disk).path());
        let list = bench.open(&disk);
        list.assert_whole(what);
        assert_eq!(list.check("zoe"), Withdrawn::Yes, "{what}");
        drop(list);
        bench.open(&disk).assert_whole(what);
        assert!(bench.count(&disk) >= Some(2), "{what}");
    }
}

#[test]
fn a_restored_folder_has_all_again_and_those_who_came_meanwhile() {
    let bench = Bench::new();
    let disk = bench.disk_with(&["ada", "bob"]);
    let backup = disk.bytes(&bench.segment(1));
    disk.take(&bench.segment(1));
    let list = bench.open(&disk);
    list.add("eve").wait().expect("kept");
    drop(list);
    assert!(
        !disk.paths().contains(&bench.segment(1)),
        "a backup would go over it"
    );
    disk.put(&bench.segment(1), &backup);
    let list = bench.open(&disk);
    list.assert_whole("restored");
    for name in ["ada", "bob", "eve"] {
        assert_eq!(list.check(name), Withdrawn::Yes, "{name}");
    }
    assert_eq!(bench.count(&disk), Some(3));
}

#[test]
fn a_count_that_cannot_be_read_is_no_count_to_go_by() {
    let bench = Bench::new();
    let sound = bench.disk_with(&["ada"]);
    let path = bench.file(&sound).path();
    let bytes = sound.bytes(&path);
    let mut other_words = bytes.clone();
    other_words[8] = 0;
    for damaged in [
        &[][..],
        &bytes[..63],
        &[&bytes[..], b"x"].concat(),
        &other_words,
    ] {
        let disk = bench.disk_with(&["ada"]);
        disk.put(&path, damaged);
        let list = bench.open(&disk);
        list.assert_incomplete("damaged");
        assert_eq!(list.check("ada"), Withdrawn::Yes);
        drop(list);
        assert_eq!(disk.bytes(&path), damaged, "it is not made good silently");
    }
    let other = Bench::new();
    let foreign = other.disk_with(&["ada"]).bytes(&other.file(&sound).path());
    sound.put(&path, &foreign);
    bench.open(&sound).assert_incomplete("another folder's");
}

#[test]
fn a_folder_that_was_never_counted_loads_and_gets_a_count() {
    let bench = Bench::new();
    let disk = bench.disk_with(&["ada", "bob"]);
    disk.take(&bench.file(&disk).path());
    let list = bench.open(&disk);
    list.assert_whole("as ever");
    assert_eq!(list.check("ada"), Withdrawn::Yes);
    assert_eq!(bench.count(&disk), Some(2));
}

/// Withdraws one by one and then some at once; gives who was told that they are.
fn run(list: &List, from: u32) -> Vec<String> {
    let add = |n: u32| (format!("reader-{n}"), list.add(&format!("reader-{n}")));
    let mut told = Vec::new();
    for n in from..from + 4 {
        let (name, pending) = add(n);
        told.extend(pending.wait().is_ok().then_some(name));
    }
    let together: Vec<_> = (from + 4..from + 8).map(add).collect();
    let kept = together
        .into_iter()
        .filter_map(|(name, pending)| pending.wait().is_ok().then_some(name));
    told.extend(kept);
    told
}

fn assert_all(list: &List, told: &[String], context: &str) {
    list.assert_whole(context);
    for name in told {
        assert_eq!(list.check(name), Withdrawn::Yes, "{context}: {name}");
    }
}

#[test]
fn a_power_cut_at_every_call_raises_no_false_alarm_and_loses_nobody() {
    let bench = Bench::new();
    let whole = SimulatedDisk::new(0);
    drop(run(&bench.open(&whole), 0));
    let calls = whole.calls();
    assert!(calls > 40, "{calls}");
    for call in 0..calls {
        for seed in 0..3 {
            let context = format!("call {call}, seed {seed}");
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(call, Fault::PowerCut);
            let told = bench.try_open(&disk).map_or(vec![], |list| run(&list, 0));
            // And a second one, over what the first left.
            let disk = disk.after_power_cut();
            let list = bench.open(&disk);
            assert_all(&list, &told, &context);
            drop(list);
            disk.fail_at(disk.calls() + call % 20, Fault::PowerCut);
            let more = bench.try_open(&disk).map_or(vec![], |list| run(&list, 100));
            let list = bench.open(&disk.after_power_cut());
            assert_all(&list, &told, &context);
            assert_all(&list, &more, &context);
        }
    }
}

#[test]
fn any_one_call_may_fail_and_nobody_is_lost() {
    let bench = Bench::new();
    let whole = SimulatedDisk::new(0);
    drop(run(&bench.open(&whole), 0));
    for call in 1..whole.calls() {
        for fault in [Fault::Error(io::ErrorKind::StorageFull), Fault::Short] {
            let context = format!("call {call}, {fault:?}");
            let disk = SimulatedDisk::new(1);
            disk.fail_at(call, fault);
            let told = bench.try_open(&disk).map_or(vec![], |list| run(&list, 0));
            let list = bench.open(&disk.after_kill());
            assert_all(&list, &told, &context);
        }
    }
}
