//! A seeded mixture of everything that can be done to a store.

use store::disk::simulated::{Failure, Operation};
use store::{Describe, How};
use wire::{Checksum, ContentId, ShardNo};

use crate::expectation::Known;
use crate::plan::{Diet, Plan};
use crate::world::{Step, Upload, World};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Runs the steps of a plan, until the power goes.
pub(crate) fn run(world: &mut World, plan: Plan) -> Step {
    if plan.breaks {
        let operation = if world.random.chance(1, 2) {
            Operation::Sync
        } else {
            Operation::Write
        };
        let successes = world.random.below(plan.steps / 2);
        world.disk.fail(operation, successes, Failure::Io);
    }
    world.begin_epoch()?;
    for _ in 0..plan.steps {
        step(world, plan)?;
    }
    Ok(())
}

fn step(world: &mut World, plan: Plan) -> Step {
    world.now_ms += world.random.below(1000);
    match world.random.below(100) {
        0..22 => create(world, plan),
        22..32 => update(world, plan),
        32..35 => describe(world),
        35..44 => delete(world),
        44..47 => repeat(world),
        47..50 => begin_upload(world, plan),
        50..57 => continue_upload(world),
        57..59 => abort(world),
        59..65 => world.flush(),
        65..73 => world.sync(),
        73..79 => commit_some(world),
        79..84 => world.settle(),
        84..94 => upkeep(world),
        94..96 => hold_or_release(world),
        96 => truncate(world),
        97 => world.begin_epoch(),
        _ => weather(world, plan),
    }
}

fn size(world: &mut World, plan: Plan) -> usize {
    let large = match plan.diet {
        Diet::Small => 1_500,
        Diet::Mixed | Diet::Large => 100_000,
    };
    let bound = match world
        .random
        .below(if plan.diet == Diet::Large { 8 } else { 24 })
    {
        0 => 1,
        1 | 2 => large,
        3..6 => large.min(6_000),
        _ => 700,
    };
    world.random.below(bound) as usize
}

fn fresh_id(world: &mut World) -> ContentId {
    let random = world.random.bits();
    ContentId::mint(ShardNo(1), world.now_ms, random)
}

/// Any id that was ever used, most often a live one.
fn some_id(world: &mut World) -> Option<ContentId> {
    let view = world.expected.pending();
    let only_live = world.random.chance(7, 8);
    let ids: Vec<ContentId> = view
        .iter()
        .filter(|(_, known)| !only_live || matches!(known, Known::Live(..)))
        .map(|(id, _)| *id)
        .collect();
    if ids.is_empty() {
        None
    } else {
        Some(ids[world.random.below(ids.len() as u64) as usize])
    }
}

/// A precondition: none, the right one, or a wrong one.
fn base_of(world: &mut World, id: ContentId) -> Option<Checksum> {
    match (world.random.below(4), world.expected.pending().get(&id)) {
        (0, _) => Some(Checksum([9; 32])),
        (1, Some(Known::Live(content, _))) => Some(content.checksum),
        _ => None,
    }
}

fn create(world: &mut World, plan: Plan) -> Step {
    let len = size(world, plan);
    let (bytes, new) = world.fresh(len);
    let id = fresh_id(world);
    world.put(id, &bytes, new, How::Create)
}

fn update(world: &mut World, plan: Plan) -> Step {
    let Some(id) = some_id(world) else {
        return Ok(());
    };
    let if_match = base_of(world, id);
    let len = size(world, plan);
    let (bytes, new) = world.fresh(len);
    world.put(id, &bytes, new, How::Update { if_match })
}

fn describe(world: &mut World) -> Step {
    let Some(id) = some_id(world) else {
        return Ok(());
    };
    let base = base_of(world, id);
    let change = Describe {
        filename: world.random.chance(1, 2).then(|| "renamed.txt".to_owned()),
        content_type: world.random.chance(1, 2).then(|| "text/plain".to_owned()),
        attributes: Some(format!(r#"{{"n":{}}}"#, world.random.below(1000))),
    };
    world.describe(id, change, base)
}

fn delete(world: &mut World) -> Step {
    let Some(id) = some_id(world) else {
        return Ok(());
    };
    let base = base_of(world, id);
    world.delete(id, base)
}

/// A request that was sent before: the creating upload, the last update, or the delete.
fn repeat(world: &mut World) -> Step {
    let Some(id) = some_id(world) else {
        return Ok(());
    };
    let Some(Known::Live(content, bytes)) = world.expected.pending().get(&id).cloned() else {
        return world.delete(id, None);
    };
    let (_, mut new) = world.fresh(0);
    new.size = content.size;
    new.checksum = content.checksum;
    let how = match content.base_checksum {
        None => How::Create,
        Some(base) => How::Update {
            if_match: Some(base),
        },
    };
    world.put(id, &bytes, new, how)
}

fn begin_upload(world: &mut World, plan: Plan) -> Step {
    let how = match world.random.below(3) {
        0 => How::Update { if_match: None },
        _ => How::Create,
    };
    let known = some_id(world).filter(|_| how != How::Create || world.random.chance(1, 4));
    let id = match (known, how) {
        (Some(id), _) => id,
        (None, How::Create) => fresh_id(world),
        (None, How::Update { .. }) => return Ok(()),
    };
    let more = if plan.diet == Diet::Small {
        1_000
    } else {
        20_000
    };
    let len = 1 + size(world, plan) + world.random.below(more) as usize;
    let (bytes, new) = world.fresh(len);
    let first = part_of(world, len);
    let lsn = wire::Lsn::ZERO;
    world.first_chunk(
        Upload {
            lsn,
            id,
            how,
            new,
            bytes,
            sent: 0,
        },
        first,
    )
}

/// How much of the rest the next chunk carries.
fn part_of(world: &mut World, rest: usize) -> usize {
    if world.random.chance(1, 3) {
        rest
    } else {
        1 + world.random.below(rest as u64) as usize
    }
}

fn continue_upload(world: &mut World) -> Step {
    if world.uploads.is_empty() {
        return Ok(());
    }
    let index = world.random.below(world.uploads.len() as u64) as usize;
    let upload = &world.uploads[index];
    match upload.bytes.len() - upload.sent {
        0 => world.commit_upload(index),
        rest => {
            let part = part_of(world, rest);
            world.chunk(index, part)
        }
    }
}

fn abort(world: &mut World) -> Step {
    if world.uploads.is_empty() {
        return Ok(());
    }
    let index = world.random.below(world.uploads.len() as u64) as usize;
    world.abort(index)
}

fn commit_some(world: &mut World) -> Step {
    let (low, high) = (world.expected.committed, world.expected.synced);
    let lsn = world.random.between(low, high);
    world.commit_to(lsn)
}

/// Takes chores, or carries one out that was taken: others may run, and records die, in between.
fn upkeep(world: &mut World) -> Step {
    if world.chores.is_empty() {
        return world.take_chores();
    }
    let index = world.random.below(world.chores.len() as u64) as usize;
    world.run_chore(index)
}

fn hold_or_release(world: &mut World) -> Step {
    if world.held.len() >= 3 || (!world.held.is_empty() && world.random.chance(1, 2)) {
        let index = world.random.below(world.held.len() as u64) as usize;
        return world.release(index);
    }
    match some_id(world) {
        Some(id) => world.hold(id),
        None => Ok(()),
    }
}

fn truncate(world: &mut World) -> Step {
    let (low, high) = (world.expected.committed, world.appended());
    let lsn = world.random.between(low, high);
    world.truncate_after(lsn)
}

/// What nobody asked for: a disk that fills up or is made larger, a cold cache, time that passes.
fn weather(world: &mut World, plan: Plan) -> Step {
    match world.random.below(4) {
        0 | 1 if plan.full => {
            let more = world.random.below(200_000);
            world.disk.set_capacity(Some(world.disk.used() + more));
        }
        0 => world.disk.set_capacity(None),
        1 | 2 => {
            let cold = world.random.chance(1, 2);
            world.disk.set_cold(cold);
        }
        _ => world.now_ms += 8 * DAY_MS,
    }
    Ok(())
}
