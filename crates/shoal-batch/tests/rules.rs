//! The rules of the crate as stories: each test is named by its claim.
//!
//! The last section holds what batchers elsewhere get wrong.

use std::time::Duration;

use shoal_batch::{Arrival, Batcher, Bucket, Client, Limits, MicroBatch, Moment, PATIENCE, Priority, Reason, Refusal, RequestId, Size};

const LIMITS: Limits = Limits { max_rows: 4, max_bytes: 1000, queue_rows: 100, queue_bytes: 10_000 };

fn milliseconds(count: u64) -> Moment {
    Moment::from(Duration::from_millis(count))
}

/// A row of ten bytes.
fn row(id: u64) -> Arrival {
    Arrival {
        id: RequestId(id),
        client: Client::default(),
        bucket: Bucket(0),
        rows: 1,
        bytes: 10,
        priority: Priority::default(),
        deadline: None,
    }
}

fn rows(id: u64, rows: usize) -> Arrival {
    Arrival { rows, bytes: 10 * rows, ..row(id) }
}

fn with_all(limits: Limits, arrivals: impl IntoIterator<Item = Arrival>) -> Batcher {
    let mut batcher = Batcher::new(limits);
    for arrival in arrivals {
        assert_eq!(batcher.submit(Moment::EPOCH, arrival), Ok(()));
    }
    batcher
}

/// All that waits, micro-batch by micro-batch.
fn release_all(batcher: &mut Batcher) -> Vec<MicroBatch> {
    std::iter::from_fn(|| batcher.release(Moment::EPOCH)).collect()
}

/// (request, first row, rows) of each slice.
fn slices(batch: &MicroBatch) -> Vec<(u64, usize, usize)> {
    let parts = batch.slices.iter();
    parts.map(|slice| (slice.id.0, slice.start, slice.rows)).collect()
}

fn ids(batch: &MicroBatch) -> Vec<u64> {
    batch.slices.iter().map(|slice| slice.id.0).collect()
}

fn expired(batcher: &mut Batcher, now: Moment) -> Vec<u64> {
    let mut expired = Vec::new();
    batcher.expire(now, &mut expired);
    expired.into_iter().map(|id| id.0).collect()
}

// Late binding

#[test]
fn a_lone_request_is_released_at_once() {
    let mut batcher = with_all(LIMITS, [row(7)]);
    let batch = batcher.release(Moment::EPOCH).unwrap();
    assert_eq!(ids(&batch), [7]);
    assert_eq!((batch.rows, batch.bytes), (1, 10));
    assert_eq!((batch.reason, batch.waited), (Reason::ExecutorFree, Duration::ZERO));
    assert_eq!(batcher.release(Moment::EPOCH), None);
    assert!(batcher.is_empty());
}

#[test]
fn what_waits_together_is_released_together_in_order_of_arrival() {
    let mut batcher = with_all(LIMITS, [3, 1, 2].map(row));
    let batch = batcher.release(milliseconds(5)).unwrap();
    assert_eq!(ids(&batch), [3, 1, 2]);
    assert_eq!(batch.waited, Duration::from_millis(5));
}

#[test]
fn a_micro_batch_says_how_long_its_oldest_member_waited() {
    let mut batcher = with_all(LIMITS, [row(1)]);
    assert_eq!(batcher.submit(milliseconds(8), row(2)), Ok(()));
    assert!(batcher.cancel(RequestId(1)));
    assert_eq!(batcher.submit(milliseconds(9), row(3)), Ok(()));
    assert_eq!(batcher.release(milliseconds(10)).unwrap().waited, Duration::from_millis(2));
}

#[test]
fn a_batch_closes_when_its_rows_are_full() {
    let batches = release_all(&mut with_all(LIMITS, (0..5).map(row)));
    assert_eq!(ids(&batches[0]), [0, 1, 2, 3]);
    assert_eq!(batches[0].reason, Reason::RowsFull);
    assert_eq!((ids(&batches[1]), batches[1].reason), (vec![4], Reason::ExecutorFree));
}

#[test]
fn a_batch_closes_when_the_next_row_does_not_fit_into_its_bytes() {
    let limits = Limits { max_bytes: 25, ..LIMITS };
    let batches = release_all(&mut with_all(limits, (0..3).map(row)));
    assert_eq!((batches[0].bytes, batches[0].reason), (20, Reason::BytesFull));
    assert_eq!((batches[1].bytes, batches[1].reason), (10, Reason::ExecutorFree));
}

// Splitting

#[test]
fn a_request_that_does_not_fit_is_cut_and_its_rest_goes_first_in_the_next_batch() {
    let batches = release_all(&mut with_all(LIMITS, [rows(1, 3), rows(2, 3), row(3)]));
    assert_eq!(slices(&batches[0]), [(1, 0, 3), (2, 0, 1)]);
    assert_eq!(slices(&batches[1]), [(2, 1, 2), (3, 0, 1)]);
}

#[test]
fn where_enough_goes_along_a_request_is_left_out_whole_instead_of_cut() {
    let size = Size { most: 4, enough: Some(3), in_turn: false };
    let mut batcher = with_all(LIMITS, [rows(1, 3), rows(2, 3), row(3)]);
    let first = batcher.release_sized(Moment::EPOCH, size).unwrap();
    assert_eq!((slices(&first), first.reason), (vec![(1, 0, 3)], Reason::BestSize));
    let second = batcher.release_sized(Moment::EPOCH, size).unwrap();
    assert_eq!((slices(&second), second.reason), (vec![(2, 0, 3), (3, 0, 1)], Reason::RowsFull));
}

#[test]
fn one_cut_does_not_cut_all_that_follow() {
    let limits = Limits { max_rows: 8, ..LIMITS };
    let size = Size { most: 8, enough: Some(7), in_turn: false };
    let mut batcher = with_all(limits, (0..6).map(|id| rows(id, 4)));
    let cut = batcher.release_sized(Moment::EPOCH, Size { most: 6, enough: None, in_turn: false }).unwrap();
    assert_eq!(slices(&cut), [(0, 0, 4), (1, 0, 2)]);
    let settled = batcher.release_sized(Moment::EPOCH, size).unwrap();
    assert_eq!(slices(&settled), [(1, 2, 2), (2, 0, 4)], "half full, and whole again from here on");
    assert_eq!(slices(&batcher.release_sized(Moment::EPOCH, size).unwrap()), [(3, 0, 4), (4, 0, 4)]);
}

#[test]
fn a_request_is_cut_where_too_little_would_go_without_it_or_it_is_cut_anyhow() {
    let size = Size { most: 4, enough: Some(3), in_turn: false };
    let mut too_little = with_all(LIMITS, [rows(1, 2), rows(2, 3)]);
    assert_eq!(slices(&too_little.release_sized(Moment::EPOCH, size).unwrap()), [(1, 0, 2), (2, 0, 2)]);
    let mut too_large = with_all(LIMITS, [rows(1, 3), rows(2, 5)]);
    assert_eq!(slices(&too_large.release_sized(Moment::EPOCH, size).unwrap()), [(1, 0, 3), (2, 0, 1)]);
    let limits = Limits { max_bytes: 40, ..LIMITS };
    let mut too_heavy = with_all(limits, [rows(1, 3), Arrival { bytes: 60, ..rows(2, 3) }]);
    assert_eq!(too_heavy.release_sized(Moment::EPOCH, size).unwrap().rows, 3, "no row of it fits beside the others");
    assert_eq!(slices(&too_heavy.release_sized(Moment::EPOCH, size).unwrap()), [(2, 0, 2)]);
}

#[test]
fn the_bytes_of_slices_add_up_to_the_bytes_of_the_request() {
    let limits = Limits { max_rows: 3, ..LIMITS };
    let odd = Arrival { rows: 7, bytes: 101, ..row(1) };
    let batches = release_all(&mut with_all(limits, [odd]));
    let bytes: Vec<usize> = batches.iter().map(|batch| batch.bytes).collect();
    assert_eq!(bytes, [43, 43, 15]);
}

#[test]
fn a_request_of_many_bytes_is_cut_where_its_bytes_fit() {
    let limits = Limits { max_bytes: 25, ..LIMITS };
    let batches = release_all(&mut with_all(limits, [rows(1, 4)]));
    assert_eq!(batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_single_row_above_the_byte_limit_travels_alone() {
    let large = Arrival { bytes: 5000, ..row(2) };
    let batches = release_all(&mut with_all(LIMITS, [row(1), large, row(3)]));
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [[1], [2], [3]]);
    assert_eq!((batches[1].bytes, batches[1].reason), (5000, Reason::BytesFull));
}

#[test]
fn rows_without_bytes_are_limited_by_rows_alone() {
    let light = Arrival { rows: 6, bytes: 0, ..row(1) };
    let batches = release_all(&mut with_all(LIMITS, [light]));
    assert_eq!(batches.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn sizes_near_the_end_of_the_number_range_are_cut_exactly() {
    let huge = Limits { queue_rows: usize::MAX, queue_bytes: usize::MAX, ..LIMITS };
    let limits = Limits { max_rows: usize::MAX - 1, max_bytes: usize::MAX, ..huge };
    let request = Arrival { rows: usize::MAX, bytes: usize::MAX, ..row(1) };
    let batches = release_all(&mut with_all(limits, [request]));
    let sizes: Vec<_> = batches.iter().map(|batch| (batch.rows, batch.bytes)).collect();
    assert_eq!(sizes, [(usize::MAX - 1, usize::MAX - 1), (1, 1)]);
}

// Admission

#[test]
fn a_full_queue_refuses_and_keeps_no_trace_of_what_it_refused() {
    let limits = Limits { queue_rows: 2, ..LIMITS };
    let mut batcher = with_all(limits, [row(1), row(2)]);
    let full = Refusal::QueueFull { rows: 2, bytes: 20 };
    assert_eq!(batcher.submit(Moment::EPOCH, row(3)), Err(full));
    assert_eq!(ids(&batcher.release(Moment::EPOCH).unwrap()), [1, 2]);
    assert_eq!(batcher.submit(Moment::EPOCH, row(3)), Ok(()));
}

#[test]
fn a_queue_full_of_bytes_refuses_too() {
    let limits = Limits { queue_bytes: 15, ..LIMITS };
    let full = Refusal::QueueFull { rows: 1, bytes: 10 };
    assert_eq!(with_all(limits, [row(1)]).submit(Moment::EPOCH, row(2)), Err(full));
}

#[test]
fn a_request_above_the_whole_queue_is_refused_for_good() {
    let too_large = Refusal::TooLarge { queue_rows: 100, queue_bytes: 10_000 };
    let mut batcher = Batcher::new(LIMITS);
    assert_eq!(batcher.submit(Moment::EPOCH, rows(1, 101)), Err(too_large));
    let heavy = Arrival { bytes: 10_001, ..row(1) };
    assert_eq!(batcher.submit(Moment::EPOCH, heavy), Err(too_large));
    assert!(batcher.is_empty());
}

#[test]
fn a_request_without_rows_and_an_id_that_waits_already_are_refused() {
    let mut batcher = with_all(LIMITS, [row(1)]);
    assert_eq!(batcher.submit(Moment::EPOCH, rows(2, 0)), Err(Refusal::Empty));
    assert_eq!(batcher.submit(Moment::EPOCH, row(1)), Err(Refusal::DuplicateId));
    assert_eq!(batcher.queued_rows(), 1);
}

#[test]
fn limits_of_zero_count_as_one() {
    let nothing = Limits { max_rows: 0, max_bytes: 0, queue_rows: 0, queue_bytes: 0 };
    let tiny = Arrival { bytes: 1, ..row(1) };
    assert_eq!(release_all(&mut with_all(nothing, [tiny])).len(), 1);
}

// Cancel, expire, drain

#[test]
fn a_cancelled_request_frees_its_room_at_once_and_is_never_released() {
    let limits = Limits { queue_rows: 1, ..LIMITS };
    let mut batcher = with_all(limits, [row(1)]);
    assert!(batcher.cancel(RequestId(1)));
    assert!(!batcher.cancel(RequestId(1)));
    assert_eq!((batcher.queued_rows(), batcher.queued_bytes()), (0, 0));
    assert_eq!(batcher.submit(Moment::EPOCH, row(2)), Ok(()));
    assert_eq!(ids(&batcher.release(Moment::EPOCH).unwrap()), [2]);
}

#[test]
fn cancelling_between_slices_stops_the_remaining_ones() {
    let mut batcher = with_all(LIMITS, [rows(1, 10), row(2)]);
    assert_eq!(slices(&batcher.release(Moment::EPOCH).unwrap()), [(1, 0, 4)]);
    assert!(batcher.cancel(RequestId(1)));
    assert_eq!((batcher.queued_rows(), batcher.queued_bytes()), (1, 10));
    assert_eq!(release_all(&mut batcher).iter().map(ids).collect::<Vec<_>>(), [[2]]);
}

#[test]
fn a_request_that_was_released_whole_can_not_be_cancelled() {
    let mut batcher = with_all(LIMITS, [row(1)]);
    assert!(batcher.release(Moment::EPOCH).is_some());
    assert!(!batcher.cancel(RequestId(1)));
}

#[test]
fn an_expired_request_is_handed_back_once_and_never_released() {
    let mortal = Arrival { deadline: Some(milliseconds(5)), ..row(1) };
    let mut batcher = with_all(LIMITS, [mortal, row(2)]);
    assert_eq!(batcher.next_deadline(), Some(milliseconds(5)));
    assert_eq!(expired(&mut batcher, milliseconds(4)), []);
    assert_eq!(expired(&mut batcher, milliseconds(5)), [1]);
    assert_eq!(expired(&mut batcher, milliseconds(6)), []);
    assert_eq!(batcher.next_deadline(), None);
    assert_eq!(ids(&batcher.release(milliseconds(6)).unwrap()), [2]);
}

#[test]
fn the_rest_of_a_partly_released_request_expires() {
    let mortal = Arrival { deadline: Some(milliseconds(5)), ..rows(1, 6) };
    let mut batcher = with_all(LIMITS, [mortal]);
    assert_eq!(slices(&batcher.release(Moment::EPOCH).unwrap()), [(1, 0, 4)]);
    assert_eq!(batcher.release(milliseconds(5)), None);
    assert!(!batcher.is_empty());
    assert_eq!(expired(&mut batcher, milliseconds(5)), [1]);
    assert!(batcher.is_empty());
}

#[test]
fn a_request_that_comes_at_its_deadline_is_refused() {
    let late = Arrival { deadline: Some(milliseconds(5)), ..row(1) };
    let mut batcher = Batcher::new(LIMITS);
    assert_eq!(batcher.submit(milliseconds(5), late), Err(Refusal::DeadlinePassed));
}

#[test]
fn draining_refuses_newcomers_and_releases_what_waits() {
    let mut batcher = with_all(LIMITS, (0..5).map(row));
    batcher.drain();
    assert_eq!(batcher.submit(Moment::EPOCH, row(9)), Err(Refusal::Draining));
    let released = release_all(&mut batcher);
    assert_eq!(released.iter().map(|batch| batch.rows).collect::<Vec<_>>(), [4, 1]);
    assert!(released.iter().all(|batch| batch.reason == Reason::Drain));
    assert!(batcher.is_draining() && batcher.is_empty());
}

// Order

#[test]
fn the_more_urgent_request_goes_first_and_the_default_fills_the_room_that_is_left() {
    let urgent = |id, priority| Arrival { priority: Priority(priority), ..row(id) };
    let arrivals = [row(1), row(2), urgent(3, 2), urgent(4, 1), row(5)];
    let batches = release_all(&mut with_all(LIMITS, arrivals));
    assert_eq!(ids(&batches[0]), [4, 3, 1, 2]);
    assert_eq!(ids(&batches[1]), [5]);
}

#[test]
fn deadlines_exchange_their_places_and_pass_nobody_without_one() {
    let due = |id, at| Arrival { deadline: Some(milliseconds(at)), ..row(id) };
    let limits = Limits { max_rows: 10, ..LIMITS };
    let arrivals = [row(1), due(2, 900), row(3), due(4, 100), row(5), due(6, 100)];
    let batches = release_all(&mut with_all(limits, arrivals));
    assert_eq!(ids(&batches[0]), [1, 4, 3, 6, 5, 2]);
}

#[test]
fn a_cancelled_deadline_gives_back_the_last_place_that_deadlines_share() {
    let due = |id, at| Arrival { deadline: Some(milliseconds(at)), ..row(id) };
    let mut batcher = with_all(LIMITS, [due(1, 100), row(2), due(3, 200)]);
    assert!(batcher.cancel(RequestId(1)));
    assert_eq!(ids(&batcher.release(Moment::EPOCH).unwrap()), [3, 2]);
}

#[test]
fn a_long_request_delays_its_neighbours_by_one_batch_only() {
    let batches = release_all(&mut with_all(LIMITS, [rows(1, 11), row(2), row(3)]));
    assert_eq!(slices(&batches[0]), [(1, 0, 4)]);
    assert_eq!(slices(&batches[1]), [(2, 0, 1), (3, 0, 1), (1, 4, 2)]);
    assert_eq!(slices(&batches[2]), [(1, 6, 4)]);
    assert_eq!(slices(&batches[3]), [(1, 10, 1)]);
}

#[test]
fn under_a_flood_of_urgent_requests_every_fourth_batch_goes_by_age() {
    let urgent = |id| Arrival { priority: Priority(1), bucket: Bucket(1), ..row(id) };
    let mut batcher = with_all(LIMITS, [row(0)]);
    let mut turn_at = |now| {
        for id in 1..=4 {
            assert_eq!(batcher.submit(now, urgent(id)), Ok(()));
        }
        let batch = batcher.release(now).unwrap();
        let _ = (1..=4).filter(|id| batcher.cancel(RequestId(*id))).count();
        ids(&batch)
    };
    for _ in 0..10 {
        assert_eq!(turn_at(Moment::EPOCH), [1, 2, 3, 4]);
    }
    let overdue = Moment::EPOCH + PATIENCE;
    let released: Vec<_> = (0..4).map(|_| turn_at(overdue)).collect();
    assert_eq!(released[2], [1, 2, 3, 4]);
    assert_eq!(released[3], [0]);
}

// What batchers elsewhere get wrong

#[test]
fn alternating_shapes_are_batched_by_shape_and_not_one_by_one() {
    let shaped = |id| Arrival { bucket: Bucket(id % 2), ..row(id) };
    let batches = release_all(&mut with_all(LIMITS, (0..8).map(shaped)));
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [[0, 2, 4, 6], [1, 3, 5, 7]]);
}

#[test]
fn buckets_take_turns_by_age_so_none_starves() {
    let in_bucket = |id, bucket| Arrival { bucket: Bucket(bucket), ..rows(id, 4) };
    let arrivals = [in_bucket(1, 7), in_bucket(2, 8), in_bucket(3, 7), in_bucket(4, 9)];
    let batches = release_all(&mut with_all(LIMITS, arrivals));
    assert_eq!(batches.iter().map(ids).collect::<Vec<_>>(), [[1], [2], [3], [4]]);
}

#[test]
fn a_request_larger_than_the_room_left_is_not_put_at_the_back() {
    let batches = release_all(&mut with_all(LIMITS, [row(1), rows(2, 4), row(3), row(4), row(5)]));
    assert_eq!(slices(&batches[0]), [(1, 0, 1), (2, 0, 3)]);
    assert_eq!(slices(&batches[1])[0], (2, 3, 1));
}

#[test]
fn a_request_larger_than_a_batch_is_answered_in_several() {
    let batches = release_all(&mut with_all(LIMITS, [rows(1, 9)]));
    let parts: Vec<_> = batches.iter().flat_map(slices).collect();
    assert_eq!(parts, [(1, 0, 4), (1, 4, 4), (1, 8, 1)]);
}

#[test]
fn an_expired_request_waits_for_no_tick_and_for_no_free_executor() {
    let mortal = Arrival { deadline: Some(Moment::from_nanos(1)), ..row(1) };
    let mut batcher = with_all(LIMITS, [mortal]);
    let at = batcher.next_deadline().unwrap();
    assert_eq!(at, Moment::from_nanos(1));
    assert_eq!(expired(&mut batcher, at), [1]);
}

#[test]
fn an_executor_that_is_free_after_the_deadline_gets_no_dead_work() {
    let mortal = Arrival { deadline: Some(milliseconds(1)), ..row(1) };
    let mut batcher = with_all(LIMITS, [mortal]);
    assert_eq!(batcher.release(milliseconds(1)), None);
    assert_eq!(batcher.next_deadline(), Some(milliseconds(1)));
    assert!(!batcher.cancel(RequestId(1)));
    assert_eq!(expired(&mut batcher, milliseconds(1)), [1]);
}

#[test]
fn a_member_that_is_cancelled_harms_none_of_its_neighbours() {
    let mut batcher = with_all(LIMITS, (0..4).map(row));
    assert!(batcher.cancel(RequestId(0)) && batcher.cancel(RequestId(2)));
    assert_eq!(ids(&batcher.release(Moment::EPOCH).unwrap()), [1, 3]);
}
