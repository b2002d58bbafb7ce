//! Waiting for this instance's turn: until the topics are there, and no other instance is active.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Daemon;
use crate::clock::Instant;
use crate::http::Phase;
use crate::kafka::Marker;

/// Partitions by topic.
pub type Topics = BTreeMap<String, Vec<i32>>;

/// How often the marker is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A marker that has not moved for so long by our own watch is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(30);

impl Daemon<'_> {
    /// The input topics once it is this instance's turn; none when it is time to stop. `fenced`:
    /// another instance has just taken over from this one.
    pub(super) fn follow(&mut self, fenced: bool) -> Result<Option<Topics>, anyhow::Error> {
        let inputs = self.input_topics();
        let outputs = self.output_topics();
        let mut queue = Queue::new(self.store.identity(), fenced);
        loop {
            let found = self.insist(|daemon| {
                // Missing output topics are better found now than with the first alert.
                daemon.kafka.partitions(&outputs)?;
                let topics = daemon.kafka.partitions(&inputs)?;
                Ok((topics, daemon.kafka.read_marker()?))
            });
            let Some((topics, marker)) = found else {
                return Ok(None);
            };
            let active = marker.as_ref().map(|marker| marker.store.clone());
            match queue.look(marker, self.clock.now()) {
                Turn::Ours => return Ok(Some(topics)),
                Turn::Abandoned => {
                    tracing::warn!(
                        store = active,
                        "the active instance has not been heard of for {} s: taking over",
                        ABANDONED.as_secs()
                    );
                    return Ok(Some(topics));
                }
                Turn::Theirs => {
                    let active_store = active.unwrap_or_else(|| "not known yet".to_owned());
                    let phase = Phase::Standby {
                        active_store: active_store.clone(),
                    };
                    if self.hub.view().phase != phase {
                        tracing::info!(active_store, "standing by");
                    }
                    self.show(phase);
                }
            }
            if !self.rest(LOOK) {
                return Ok(None);
            }
        }
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ours,
    /// The marker has not moved for [`ABANDONED`].
    Abandoned,
    Theirs,
}

/// An instance in the queue for the group, by what it has seen of the marker.
///
/// One that has just been fenced does not believe the marker that it finds: its successor may hold
/// the transactional id and not have published yet. Were it to go by a marker that is released, its
/// own, or not there, the two would fence each other in turns. It waits until the marker moves.
struct Queue {
    own_store: String,
    fenced: bool,
    /// The marker as last seen to move, and when that was.
    seen: Option<(Option<Marker>, Instant)>,
}

impl Queue {
    fn new(own_store: String, fenced: bool) -> Self {
        Self {
            own_store,
            fenced,
            seen: None,
        }
    }

    fn look(&mut self, marker: Option<Marker>, now: Instant) -> Turn {
        let stands = matches!(&self.seen, Some((before, _)) if *before == marker);
        if self.seen.is_some() && !stands {
            self.fenced = false;
        }
        let free = match &marker {
            None => true,
            Some(marker) => marker.released || marker.store == self.own_store,
        };
        if free && !self.fenced {
            return Turn::Ours;
        }
        match &self.seen {
            Some((_, since)) if stands && now.duration_since(*since) >= ABANDONED => {
                return Turn::Abandoned;
            }
            Some(_) if stands => {}
            _ => self.seen = Some((marker, now)),
        }
        Turn::Theirs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Watermarks;

    fn marker(store: &str, beat: u64, released: bool) -> Option<Marker> {
        Some(Marker {
            number: 1,
            store: store.to_owned(),
            beat,
            watermarks: Watermarks::default(),
            released,
        })
    }

    /// What the queue says of markers seen a second apart.
    fn turns(fenced: bool, markers: impl IntoIterator<Item = Option<Marker>>) -> Vec<Turn> {
        let mut queue = Queue::new("own".to_owned(), fenced);
        let start = Instant::now();
        let look = |(i, marker): (u64, _)| queue.look(marker, start + Duration::from_secs(i));
        (0..).zip(markers).map(look).collect()
    }

    #[test]
    fn a_free_group_is_taken_at_once() {
        for free in [None, marker("other", 1, true), marker("own", 7, false)] {
            assert_eq!(turns(false, [free]), [Turn::Ours]);
        }
    }

    #[test]
    fn one_that_beats_is_left_alone_and_one_that_stops_is_replaced() {
        let beating = (0..100).map(|i| marker("other", i / 5, false));
        assert!(
            turns(false, beating)
                .iter()
                .all(|turn| *turn == Turn::Theirs)
        );
        let stopped = (0..40).map(|i| marker("other", i.min(5), false));
        let turns = turns(false, stopped);
        assert_eq!(
            turns.iter().position(|turn| *turn == Turn::Abandoned),
            Some(35)
        );
    }

    #[test]
    fn one_that_was_fenced_waits_for_its_successor_to_be_heard_of() {
        // The successor has not published yet: the marker is as it was.
        for before in [None, marker("third", 1, true), marker("own", 7, false)] {
            let seen = [before.clone(), before, marker("successor", 1, false)];
            assert_eq!(turns(true, seen), [Turn::Theirs; 3]);
        }
        // It never does.
        let silent = (0..31).map(|_| marker("own", 7, false));
        let turns_of_silent = turns(true, silent);
        assert_eq!(turns_of_silent[29..], [Turn::Theirs, Turn::Abandoned]);
        // It has come and gone.
        let seen = [
            None,
            marker("successor", 1, false),
            marker("successor", 2, true),
        ];
        assert_eq!(turns(true, seen), [Turn::Theirs, Turn::Theirs, Turn::Ours]);
    }
}
