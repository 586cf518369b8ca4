//! When does a micro-batch close?
//!
//! Two layers: [`Batcher`] keeps the queue and the rules below; [`Scheduler`] stands on it and learns when a free executor
//! should wait, how many rows are worth one call, and which deadlines cannot be met.
//!
//! A pure state machine: no clock, no thread, no input or output. Time is an argument ([`Moment`]), so every rule below
//! is tested without waiting for anything.
//!
//! 1. **Late binding.** One queue. A micro-batch is put together at the moment it is asked for
//!    ([`Batcher::release`]) and not before: a lone request leaves at once, a crowd leaves together.
//! 2. **Limits.** A micro-batch has rows of one [`Bucket`] only, at most `max_rows` rows and `max_bytes` bytes. The one
//!    exception: a single row larger than `max_bytes` travels alone. Where buckets are of one [`Kin`], those that the owner
//!    names may go together ([`Batcher::release_together`]), padded to the longest of them and counted so; all of
//!    them fit whole, or the bucket whose turn it is goes alone.
//! 3. **Order.** The most urgent [`Priority`] first; among equals the bucket whose turn is the oldest. Within a bucket
//!    and a priority first come, first served; requests with a deadline exchange their places among themselves so that
//!    the earliest deadline goes first, and never pass a request without one. Room that is left goes to lower
//!    priorities of the same bucket.
//! 4. **Nothing starves.** While a request that waits for [`PATIENCE`] is passed over for more urgent ones, every
//!    fourth micro-batch is filled in order of age.
//! 5. **Splitting.** A request that does not fit is cut: its first rows fill the micro-batch, the rest is first in line
//!    for the next one. Where the owner says which size is [`enough`](Size::enough), it is left out whole instead, if
//!    it can travel whole: cut, it would have to wait for two. A request that filled a whole micro-batch alone goes to the end of its line before it gets
//!    another, so that a request of ten thousand rows delays its neighbours by one micro-batch.
//! 6. **Exactly once.** Each accepted request ends in one way: all rows released, or cancelled, or expired.
//! 7. **Reasons.** Every [`MicroBatch`] says why it closed, how long its oldest request waited, its rows and its bytes.
//!
//! What waits is bounded by `queue_rows` and `queue_bytes`, without exception. To submit, to cancel
//! and to release one request costs constant time, plus the logarithm of the number of deadlines or
//! buckets where there are several. Nothing is allocated per request once the tables have grown, and
//! who has left leaves no memory behind.
//!
//! ```
//! use shoal_batch::{Arrival, Batcher, Bucket, Client, Limits, Moment, Priority, Reason, RequestId};
//!
//! let limits = Limits { max_rows: 64, max_bytes: 1 << 20, queue_rows: 4096, queue_bytes: 1 << 26 };
//! let mut batcher = Batcher::new(limits);
//! let now = Moment::EPOCH;
//! for id in 0..2 {
//!     let arrival = Arrival {
//!         id: RequestId(id),
//!         client: Client::default(),
//!         bucket: Bucket(0),
//!         rows: 1,
//!         bytes: 256,
//!         priority: Priority::default(),
//!         deadline: None,
//!     };
//!     batcher.submit(now, arrival)?;
//! }
//! let batch = batcher.release(now).ok_or("nothing waits")?;
//! assert_eq!((batch.rows, batch.bytes, batch.reason), (2, 512, Reason::ExecutorFree));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batcher;
mod bucket_queue;
mod company;
mod cost;
mod costs;
mod dated;
mod deadlines;
mod hash;
mod kin;
mod kin_costs;
mod lengths;
mod limits;
mod line;
mod micro_batch;
mod moment;
mod open;
mod queues;
mod request;
mod returns;
mod scheduler;
mod trials;
mod waiting;

pub use batcher::{Batcher, NextUp, PATIENCE};
pub use cost::{CostModel, Measured};
pub use hash::{NumberHasher, NumberMap};
pub use kin::{Kin, Queued, Shape};
pub use lengths::rounded_length;
pub use limits::Limits;
pub use micro_batch::{MicroBatch, Reason, Slice};
pub use moment::Moment;
pub use open::Size;
pub use request::{Arrival, Bucket, Client, Priority, Refusal, RequestId};
pub use scheduler::{DOUBT, Next, Policy, Run, Scheduler, TurnedAway};
