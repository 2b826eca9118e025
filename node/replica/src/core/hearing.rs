//! What other replicas say, and what this one tells them of shard records.

use wire::Epoch;
use wire::NodeName;
use wire::replication::{Envelope, Message};
use wire::shard::{Member, Revision, ShardRecord};

use super::{Core, Role};
use crate::around::Talk;
use crate::event::{Effect, Halt};

impl Core {
    pub(super) fn hear(
        &mut self,
        from: &NodeName,
        envelope: Envelope,
        checksum_here: Option<u32>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Halt> {
        let known = self.record.as_ref();
        let revision = known.map_or(Revision::NONE, ShardRecord::revision);
        match &envelope.message {
            Message::Refused(record) if record.revision() > revision => {
                // One that does not name this replica takes more than to be learnt: it may have to go,
                // and another one be made in its place.
                let is_named = record.replicas.contains(&self.me.member);
                out.push(match is_named {
                    true => Effect::Learn((**record).clone()),
                    false => Effect::ReadRecord,
                });
                return Ok(());
            }
            Message::Hello(hello) if hello.revision > revision => out.push(Effect::ReadRecord),
            Message::Hello(hello) if hello.revision < revision => self.refuse(from, &envelope, out),
            _ => {}
        }
        if self.is_early(&envelope) {
            let said = (envelope, checksum_here);
            self.early.insert(from.clone(), said);
            return Ok(());
        }
        self.note_obedience(from, &envelope);
        let Some((role, around)) = self.parts() else {
            return Ok(());
        };
        if !around.hears(envelope.epoch) {
            return Ok(());
        }
        match (role, &envelope.message) {
            (Role::Leading(leader), Message::Hello(hello)) => {
                let talk = Talk {
                    attempt: envelope.attempt,
                    echo_ms: envelope.sent_ms,
                };
                leader.hello(from, (talk, hello), checksum_here, (&around, out))
            }
            (Role::Leading(leader), Message::Ack { .. }) => leader.ack(from, &envelope, &around),
            (Role::Leading(leader), Message::Farewell) => {
                leader.farewell(from, envelope.attempt);
                Ok(())
            }
            (Role::Following(follower), _) => {
                let commit = follower.hear(from, envelope, &around, out)?;
                self.commit_as_told(commit, out)
            }
            _ => Ok(()),
        }
    }

    /// Who says hello in this epoch serves nothing of the one before any more.
    fn note_obedience(&mut self, from: &NodeName, envelope: &Envelope) {
        let epoch = self.record.as_ref().map(|record| record.epoch);
        if let Message::Hello(hello) = &envelope.message
            && epoch == Some(envelope.epoch)
        {
            let obeys = |leader: &Member| leader.node == *from && leader.replica == hello.replica;
            self.answered.retain(|(leader, _)| !obeys(leader));
        }
    }

    /// Whether this is a hello in an epoch that this replica has yet to begin, or to hear of: whoever
    /// knew sooner says it once, and would wait before it says it again.
    fn is_early(&self, envelope: &Envelope) -> bool {
        let known = self.record.as_ref();
        let epoch = known.map_or(Epoch::default(), |record| record.epoch);
        let begins = matches!(&self.role, Role::Leading(leader) if !leader.has_begun());
        let is_hello = matches!(envelope.message, Message::Hello(_));
        is_hello && (envelope.epoch > epoch || (envelope.epoch == epoch && begins))
    }

    /// Answers what came too early, now that the epoch has begun.
    pub(super) fn hear_early(&mut self, out: &mut Vec<Effect>) -> Result<(), Halt> {
        if !matches!(&self.role, Role::Leading(leader) if leader.has_begun()) {
            return Ok(());
        }
        for (from, (envelope, checksum_here)) in std::mem::take(&mut self.early) {
            self.hear(&from, envelope, checksum_here, out)?;
        }
        Ok(())
    }

    /// Tells a peer with an older record what is newer.
    fn refuse(&self, to: &NodeName, envelope: &Envelope, out: &mut Vec<Effect>) {
        if let Some(record) = &self.record
            && envelope.epoch != record.epoch
        {
            out.push(Effect::Send {
                to: to.clone(),
                envelope: Envelope {
                    message: Message::Refused(Box::new(record.clone())),
                    ..envelope.clone()
                },
            });
        }
    }

    /// Tells another replica of the record by which this one leads: who led before may be cut off
    /// from everybody else.
    pub(super) fn announce(&self, to: &NodeName, out: &mut Vec<Effect>) {
        if let (Role::Leading(_), Some(around)) = (&self.role, self.around())
            && *to != self.me.member.node
            && around
                .record
                .replicas
                .iter()
                .any(|member| member.node == *to)
        {
            let record = Message::Refused(Box::new(around.record.clone()));
            out.push(around.send(to, Talk::default(), record));
        }
    }
}
