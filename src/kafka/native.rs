//! librdkafka's batches, which its wrapper does not have: one queue for all partitions, emptied many
//! messages at a time, instead of asking each partition's for one message after another.
//!
//! All `unsafe` of the input is here. It relies on what `rdkafka.h` says: a queue and its messages
//! live on until they are destroyed, the client has to outlive them, and a message's fields do not
//! change meanwhile.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

use super::health::Callbacks;
use crate::observation::Millis;

/// A queue that partitions of a consumer are read from.
pub(super) struct Queue {
    ptr: NonNull<native::rd_kafka_queue_t>,
    /// It has to outlive the queue, and every message from it.
    consumer: Arc<BaseConsumer<Callbacks>>,
}

impl Queue {
    /// None where the library has no memory.
    pub(super) fn new(consumer: Arc<BaseConsumer<Callbacks>>) -> Option<Self> {
        // SAFETY: the client is alive.
        let ptr = unsafe { native::rd_kafka_queue_new(consumer.client().native_ptr()) };
        NonNull::new(ptr).map(|ptr| Self { ptr, consumer })
    }

    /// Takes what a partition gives from here on; to be called before it is assigned. False where
    /// there can be no such partition.
    pub(super) fn take_in(&self, topic: &str, partition: i32) -> bool {
        let Ok(topic) = CString::new(topic) else {
            return false;
        };
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client is alive, and so is the name during the call. The partition's own queue is
        // let go of; the library keeps it, and that it is forwarded.
        unsafe {
            let own = native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if own.is_null() {
                return false;
            }
            native::rd_kafka_queue_forward(own, self.ptr.as_ptr());
            native::rd_kafka_queue_destroy(own);
        }
        true
    }

    /// Replaces an empty batch by what there is; waits up to `timeout` where there is nothing.
    pub(super) fn fill(&self, batch: &mut Batch, timeout: Duration) {
        debug_assert!(batch.is_empty(), "messages would be lost");
        batch.next = 0;
        batch.filled = self.consume(&mut batch.messages, Duration::ZERO);
        if batch.filled == 0 && !timeout.is_zero() {
            // For one message only: the library waits for as many as there is room for.
            batch.filled = self.consume(&mut batch.messages[..1], timeout);
        }
    }

    fn consume(&self, into: &mut [*mut native::rd_kafka_message_t], timeout: Duration) -> usize {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: `into` has room for so many.
        let given = unsafe {
            native::rd_kafka_consume_batch_queue(
                self.ptr.as_ptr(),
                timeout_ms,
                into.as_mut_ptr(),
                into.len(),
            )
        };
        // Negative only for arguments that are not these.
        usize::try_from(given).unwrap_or_default()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: nobody else has it, and the consumer goes after it.
        unsafe { native::rd_kafka_queue_destroy(self.ptr.as_ptr()) }
    }
}

/// Messages that were taken from a queue, and those of them that are still to be handed over.
pub(super) struct Batch {
    messages: Vec<*mut native::rd_kafka_message_t>,
    next: usize,
    filled: usize,
}

impl Batch {
    /// With room for so many messages.
    pub(super) fn new(room: usize) -> Self {
        Self {
            messages: vec![ptr::null_mut(); room.max(1)],
            next: 0,
            filled: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next == self.filled
    }

    /// Hands the next message over, and lets go of it.
    pub(super) fn next<T>(&mut self, take: impl FnOnce(Raw<'_>) -> T) -> Option<T> {
        let message = self.messages[self.next..self.filled].first()?;
        self.next += 1;
        let message = Owned(*message);
        // SAFETY: the library's, alive until it is dropped at the end of this.
        Some(take(Raw(unsafe { &*message.0 })))
    }

    /// Lets go of what was not handed over and is of this kind.
    pub(super) fn discard(&mut self, is_of_kind: impl Fn(Raw<'_>) -> bool) {
        let mut kept = self.next;
        for at in self.next..self.filled {
            let message = self.messages[at];
            // SAFETY: alive until it is dropped.
            if is_of_kind(Raw(unsafe { &*message })) {
                drop(Owned(message));
            } else {
                self.messages[kept] = message;
                kept += 1;
            }
        }
        self.filled = kept;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.discard(|_| true);
    }
}

/// A message that is let go of when dropped.
struct Owned(*mut native::rd_kafka_message_t);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: nobody else lets go of it: `Batch` has moved past it.
        unsafe { native::rd_kafka_message_destroy(self.0) }
    }
}

/// A message in the library's memory, or an error in the shape of one.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(&'a native::rd_kafka_message_t);

impl<'a> Raw<'a> {
    pub(super) fn of(message: &'a BorrowedMessage<'_>) -> Self {
        // SAFETY: the message is alive as long as it is borrowed.
        Self(unsafe { &*message.ptr() })
    }

    /// None: it is a message.
    pub(super) fn error(self) -> Option<RDKafkaErrorCode> {
        (self.0.err != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
            .then(|| self.0.err.into())
    }

    /// Tells topics of one client apart, without looking at their names.
    pub(super) fn topic_id(self) -> usize {
        self.0.rkt as usize
    }

    /// Empty where an error is of no topic.
    pub(super) fn topic(self) -> &'a str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: a string that ends with a zero and lives as long as the topic, which the message
        // keeps alive.
        let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.0.rkt)) };
        name.to_str().unwrap_or_default()
    }

    pub(super) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(super) fn offset(self) -> i64 {
        self.0.offset
    }

    pub(super) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: the message's own, as long as it lives.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    /// None: a tombstone.
    pub(super) fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub(super) fn timestamp_ms(self) -> Option<Millis> {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: a message of a consumer.
        let time_ms = unsafe { native::rd_kafka_message_timestamp(self.0, &mut kind) };
        (time_ms >= 0).then_some(time_ms)
    }

    fn header_list(self) -> Option<NonNull<native::rd_kafka_headers_t>> {
        let mut headers = ptr::null_mut();
        // SAFETY: a message of a consumer. The library reads the headers now, and keeps them with it.
        unsafe { native::rd_kafka_message_headers(self.0, &mut headers) };
        NonNull::new(headers)
    }

    /// Names and values, in order; one whose name is not UTF-8 is left out.
    pub(super) fn headers(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let headers = self.header_list();
        let at = move |index| {
            let (mut name, mut value, mut size): (*const c_char, _, _) =
                (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message, and their names end with a zero.
            unsafe {
                let found = native::rd_kafka_header_get_all(
                    headers?.as_ptr(),
                    index,
                    &mut name,
                    &mut value,
                    &mut size,
                );
                is_ok(found).then(|| (CStr::from_ptr(name), bytes(value, size)))
            }
        };
        (0..)
            .map_while(at)
            .filter_map(|(name, value)| Some((name.to_str().ok()?, value)))
    }
}

fn is_ok(code: native::rd_kafka_resp_err_t) -> bool {
    code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// None for a null pointer.
///
/// # Safety
/// Else there are `length` bytes, which do not change during `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length) })
}
