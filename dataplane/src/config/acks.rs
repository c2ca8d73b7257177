//! What the operator asks, and what it is told of what is applied. Pure.

use mailtrail_core::ack::{
    Answer, Delivery, KnownKey, NONCE_BYTES, Question, REFUSED_MAX, Refused, SHARDS_MAX, Sinks,
    VERSION, WAIT_MAX_MS,
};
use mailtrail_core::keyring::Keyring;

use super::shards::Applied;

/// What is wrong with a question that bears a good code.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// It is no question of this version.
    #[error("is no question of version {VERSION}: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("version must be {VERSION}")]
    Version,
    /// The nonce is none.
    #[error("nonce must be {} hexadecimal digits", NONCE_BYTES * 2)]
    Nonce,
    /// Too much is asked.
    #[error("shards must be at most {SHARDS_MAX}")]
    Shards,
    /// Too long a wait.
    #[error("waitMs must be at most {WAIT_MAX_MS}")]
    Wait,
}

/// Reads a question; its code has been looked at.
///
/// # Errors
///
/// It is for another program, or asks for more than is allowed.
pub fn question(body: &[u8]) -> Result<Question, QuestionError> {
    let question: Question = serde_json::from_slice(body)?;
    let nonce = &question.nonce;
    if question.version != VERSION {
        return Err(QuestionError::Version);
    }
    if nonce.len() != NONCE_BYTES * 2 || !nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(QuestionError::Nonce);
    }
    if question.shards.len() > SHARDS_MAX {
        return Err(QuestionError::Shards);
    }
    if question.wait_ms > WAIT_MAX_MS {
        return Err(QuestionError::Wait);
    }
    Ok(question)
}

/// Answers with what is applied, and with how deliveries stand.
pub fn answer(
    question: &Question,
    applied: &Applied,
    keyring: &Keyring,
    deliveries: Vec<Delivery>,
) -> Answer {
    let asked = || question.shards.iter().map(|shard| shard.index);
    let all: usize = asked().map(|index| applied.refused(index).len()).sum();
    let refused: Vec<Refused> = asked()
        .flat_map(|index| applied.refused(index))
        .take(REFUSED_MAX)
        .cloned()
        .collect();
    let refused_sinks = asked().flat_map(|index| applied.refused_sinks(index));
    let sinks = Sinks {
        refused: refused_sinks.take(REFUSED_MAX).cloned().collect(),
        deliveries,
    };
    Answer {
        version: VERSION,
        nonce: question.nonce.clone(),
        pod_uid: question.pod_uid.clone(),
        shards: asked().filter_map(|index| applied.state(index)).collect(),
        more_refused: all.saturating_sub(refused.len()),
        refused,
        keys: keyring
            .states()
            .map(|(id, state)| KnownKey { id, state })
            .collect(),
        sinks: Some(sinks),
    }
}
