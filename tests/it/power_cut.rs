//! The power cut of a real file system, ext4 with its journal, under load: what
//! was not synced is gone, what was answered is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailtrail_tests::{Flags, root};

use crate::load::{assert_all_there_once, assert_enough, click_until, lasts, links, rounds};

/// Size of the file system: room for segments of every round.
const DISK_BYTES: u64 = 1 << 30;
/// Never by itself within a round: else what nobody synced might be kept.
const COMMIT_SECONDS: &str = "commit=3600";
/// `EXT4_IOC_SHUTDOWN`, and that the journal in memory is not written first:
/// from then on every call fails, and the disk is as it was.
const SHUT_DOWN: &str =
    "open(my $f, '<', $ARGV[0]) or die; my $how = pack('I', 2); ioctl($f, 0x8004587d, $how) or die";

/// An ext4 in a file, mounted; gone when dropped.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// None where we may not make or mount one.
    fn make(folder: &Path) -> Option<Self> {
        let (image, at) = (folder.join("image"), folder.join("mounted"));
        fs::create_dir(&at).expect("a folder");
        let file = fs::File::create(&image).expect("a file");
        file.set_len(DISK_BYTES).expect("a sparse file");
        let disk = Self { image, at };
        (run("mkfs.ext4", &["-q", "-F"], &[&disk.image]) && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        let options = ["-t", "ext4", "-o", "loop", "-o", COMMIT_SECONDS];
        run("mount", &options, &[&self.image, &self.at])
    }

    /// The power goes.
    fn cut(&self) {
        let file = self.at.join("unsynced");
        fs::write(&file, "nobody synced this").expect("written");
        assert!(run("perl", &["-e", SHUT_DOWN], &[&file]), "not cut");
    }

    /// The power is back.
    fn restart(&self) {
        assert!(run("umount", &[], &[&self.at]), "still in use");
        assert!(self.mount(), "not mounted again");
        let kept = fs::read(self.at.join("unsynced")).unwrap_or_default();
        assert!(kept.is_empty(), "that was no power cut");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &[&self.at]);
    }
}

/// Whether a command succeeded, or could be run at all.
fn run(command: &str, arguments: &[&str], paths: &[&Path]) -> bool {
    let output = Command::new(command).args(arguments).args(paths).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn every_answered_event_survives_a_power_cut_and_is_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = Disk::make(folder.path()) else {
        println!("skipped: an ext4 cannot be made and mounted here");
        return;
    };
    let data = disk.at.join("data");
    // `make crash` asks for 50.
    let rounds = rounds("MAILTRAIL_POWER_CUTS", 5);
    let mut expected: Vec<String> = Vec::new();
    for round in 0..rounds {
        let program = Flags::new(root().join("examples/manifests"), &data).start();
        assert_all_there_once(&program, &expected);
        let links = links(&program, round);
        expected.extend(click_until(program.public(), &links, lasts(round), || {
            disk.cut()
        }));
        // It went on without a disk; nobody was told that those are kept.
        program.kill();
        disk.restart();
    }
    let program = Flags::new(root().join("examples/manifests"), &data).start();
    assert_all_there_once(&program, &expected);
    assert!(program.stop().success());
    assert_enough(&expected, rounds);
    println!(
        "{} answered clicks over {} power cuts, all there",
        expected.len(),
        rounds
    );
}
