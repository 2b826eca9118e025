//! Commits that died unread, in segments that are rewritten before they are read again.

use wire::Lsn;

use super::{carry_out, catch_up, due};
use crate::How;
use crate::stage::{GEOMETRY, Stage, body};

const CHUNKED: u64 = 1_000_000;
const BYTES: usize = 90_000;

/// A follower of full segments: the commit of a content lies in the second one, its chunks in the first.
/// And its leader, where that content, and then most of the second segment, was deleted.
struct Case {
    follower: Stage,
    leader: Stage,
    /// The first chunk.
    upload: Lsn,
    commit: Lsn,
    delete: Lsn,
}

fn case() -> Case {
    let mut follower = Stage::new();
    let mut n = 0;
    while follower.store.log.active().end < GEOMETRY.segment_bytes - 2 * BYTES as u64 {
        follower.put(n, &body(n, 10_000));
        n += 1;
    }
    let bytes = body(CHUNKED, BYTES);
    let upload = follower.begin_upload(CHUNKED, &bytes, 1_000, How::Create);
    let upload = upload.expect("there is room");
    let first = follower.fill(n, 2);
    let closed = follower.close_upload(upload, &bytes, How::Create);
    let commit = closed.expect("there is room").lsn;
    follower.fill(first, 4);
    follower.upkeep();
    let mut leader = follower.on(follower.disk.kill());
    leader.begin(2);
    let delete = leader.delete(CHUNKED).lsn;
    (first..first + 15).for_each(|n| drop(leader.delete(n)));
    leader.settle_durably();
    Case {
        follower,
        leader,
        upload,
        commit,
        delete,
    }
}

impl Case {
    /// The delete is taken while the sector at this byte of the commit cannot be read, and for that moment only.
    fn delete_unread(&mut self, at: u64) {
        let follower = &mut self.follower;
        let place = follower.place_of(self.commit).expect("it is there");
        follower.break_sector(self.commit, at);
        catch_up(follower, &self.leader, self.delete);
        follower.heal_sector(&place, at);
        assert!(self.live() > BYTES as u64, "nobody knows what died");
    }

    fn catch_up(&mut self) {
        let end = self.leader.store.positions().committed;
        catch_up(&mut self.follower, &self.leader, end);
    }

    /// What lives in the segment of the chunks, but for the contents before them: few are behind them.
    fn live(&self) -> u64 {
        let segment = self.follower.store.shared.segment_of(self.upload);
        let number = segment.expect("it is there").number;
        let mut states = self.follower.store.log.segments.iter();
        let state = states.find(|state| state.segment.number == number);
        let lsns = self.follower.lsns().into_iter();
        let others = lsns.filter(|lsn| *lsn < self.upload.0).count() as u64;
        state.expect("it is there").live - others * 10_000
    }

    fn assert_told(&mut self) {
        self.follower.now_ms += 1_000;
        self.follower.upkeep();
        let live = self.live();
        assert!(live < BYTES as u64, "{live} bytes live");
        self.follower.assert_accounts();
    }
}

// If this fails, a large content that was deleted while a sector of it could not be read takes its space for
// as long as the process runs, since the list of its parts was moved meanwhile.
#[test]
fn a_commit_that_died_unread_is_read_again_where_it_was_moved_to() {
    for broken in [0, 900] {
        let mut case = case();
        case.delete_unread(broken);
        case.catch_up();
        let (named, chores) = due(&mut case.follower);
        assert_eq!(named[0], "compact");
        carry_out(&mut case.follower, chores).expect("it can be read");
        let segment = case.follower.store.shared.segment_of(case.commit);
        assert_eq!(segment.expect("it is there").name.generation, 1);
        assert!(case.follower.lsns().contains(&case.commit.0), "it is kept");
        case.assert_told();
    }
}

// If this fails, the same where it was being read again when its segment was rewritten.
#[test]
fn a_segment_in_which_a_record_is_read_again_stays_as_it_is_meanwhile() {
    for broken in [0, 900] {
        let mut case = case();
        case.delete_unread(broken);
        let (named, rereading) = due(&mut case.follower);
        assert_eq!(named, ["reread"]);
        case.catch_up();
        assert_eq!(due(&mut case.follower).0, Vec::<&str>::new());
        carry_out(&mut case.follower, rereading).expect("it can be read");
        let (named, chores) = due(&mut case.follower);
        assert_eq!(named, ["compact"]);
        carry_out(&mut case.follower, chores).expect("it can be read");
        case.assert_told();
    }
}
