//! A bounded queue of events that never blocks its producer: when it is full, the oldest goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// The producing end of a bounded queue of events.
///
/// Clones share the queue. What was dropped is counted; a consumer that finds the count risen asks
/// the state itself instead of the events.
#[derive(Debug)]
pub struct EventQueue<T> {
    sender: Sender<T>,
    receiver: Receiver<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for EventQueue<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            receiver: self.receiver.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

impl<T> EventQueue<T> {
    /// A queue of at most `capacity` events; at least one.
    pub fn new(capacity: usize) -> Self {
        let (sender, receiver) = bounded(capacity.max(1));
        Self { sender, receiver, dropped: Arc::default() }
    }

    /// Appends an event, and drops the oldest ones for it if there is no room. Never blocks.
    pub fn push(&self, event: T) {
        let mut event = event;
        loop {
            match self.sender.try_send(event) {
                Ok(()) => return,
                // Never: the receiver beside it keeps the channel open.
                Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => {
                    event = back;
                    if self.receiver.try_recv().is_ok() {
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// The consuming end. All receivers share the events: each event goes to one of them.
    pub fn receiver(&self) -> Receiver<T> {
        self.receiver.clone()
    }

    /// How many events were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_event_makes_room_and_is_counted() {
        let queue = EventQueue::new(2);
        let events = queue.receiver();
        for event in 1..=5 {
            queue.push(event);
        }
        assert_eq!(queue.dropped(), 3);
        assert_eq!(events.try_iter().collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn a_queue_without_capacity_keeps_the_last_event() {
        let queue = EventQueue::new(0);
        queue.push('a');
        queue.push('b');
        assert_eq!(queue.receiver().try_recv(), Ok('b'));
    }
}
