//! The fuzz targets; they live with the tests that replay what they found.

#[path = "../../../dataplane/tests/corpus/intact.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod intact;
#[path = "../../../dataplane/tests/corpus/job.rs"]
mod job;
#[path = "../../../dataplane/tests/corpus/made.rs"]
mod made;
#[path = "../../../dataplane/tests/corpus/random.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod random;
#[path = "../../../dataplane/tests/corpus/steady.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod steady;
#[path = "../../../dataplane/tests/corpus/targets.rs"]
mod targets;

/// See the target of this name.
pub fn token(data: &[u8]) {
    targets::token(data);
}

/// See the target of this name.
pub fn rewrite(data: &[u8]) {
    targets::rewrite(data);
}

/// See the target of this name.
pub fn target_url(data: &[u8]) {
    targets::target_url(data);
}

/// See the target of this name.
pub fn request(data: &[u8]) {
    targets::request(data);
}

/// See the target of this name.
pub fn segment(data: &[u8]) {
    targets::segment(data);
}
