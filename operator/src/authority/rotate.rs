//! The leader's half of a rotation: asks [`Roots::due`] and writes the Secret. Every replica, this one included,
//! learns of it by following the Secret.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use kube::api::PostParams;
use tracing::{info, warn};

use super::{
    Authority, AuthorityError, request,
    root::{Due, Spread},
    secret,
};
use crate::connect::plain;

/// How often the question is asked: a step is late by at most this.
const LOOK: Duration = Duration::from_secs(2);

/// Rotates for as long as it is run. `spread` says how far the present bundle has come.
pub async fn rotate(authority: &Authority, spread: impl Fn() -> Spread) -> Infallible {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let wished = authority.wished.borrow().clone();
        let due = authority
            .roots
            .borrow()
            .due(wished.as_deref(), spread(), Timestamp::now());
        if due == Due::Nothing {
            continue;
        }
        match step(authority, &spread).await {
            Ok(done) => info!(step = ?done, "the mesh's root is rotated by a step"),
            Err(error) => {
                warn!(error = %plain(&error), "a step of the root's rotation failed; it is tried again")
            }
        }
    }
}

/// One step, judged by what the Secret says at this moment and written only if nobody wrote in between.
async fn step(authority: &Authority, spread: &impl Fn() -> Spread) -> Result<Due, AuthorityError> {
    let name = &authority.secret;
    let held = request(name, "read", authority.api.get(name)).await?;
    let roots = secret::read(&held)?;
    let wished = secret::wished(&held);
    let now = Timestamp::now();
    let due = if roots == *authority.roots.borrow() {
        roots.due(wished.as_deref(), spread(), now)
    } else {
        Due::Nothing // `spread` speaks of a bundle that is no longer the present one
    };
    if due != Due::Nothing {
        let next = secret::write(name, &roots.after(due, wished.as_deref(), now)?, Some(&held));
        request(
            name,
            "written",
            authority.api.replace(name, &PostParams::default(), &next),
        )
        .await?;
    }
    Ok(due)
}
