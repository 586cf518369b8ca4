use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::description::Description;
use crate::executor::Executor;
use crate::tables::stack::{Stack, Stacked};
use crate::tables::{Column, Content, Kind, Typed};
use crate::tasks::{Input, Query};
use crate::threads::{Threads, event_loop};
use crate::values::{Buffer, Dtype, Payload, Table, Values};

/// Doubles numbers; below zero it waits until the gate is open, and fails at NaN.
struct Doubles {
    gate: mpsc::Receiver<()>,
    rows: Arc<AtomicUsize>,
}

impl Executor for Doubles {
    fn run(&mut self, inputs: &Table) -> Outcome<Table> {
        self.rows.fetch_add(inputs.rows, Ordering::Relaxed);
        let Payload::Fixed(buffer) = &inputs.columns[0].payload else { panic!("fixed") };
        let numbers: &[f64] = bytemuck::cast_slice(buffer.bytes());
        if numbers.iter().any(|number| *number < 0.0) {
            // An error is a gate that was taken away.
            let _ = self.gate.recv();
        }
        if numbers.iter().any(|number| number.is_nan()) {
            return Err(Fault::new(Code::ModelFailed, "on purpose"));
        }
        let doubled: Vec<f64> = numbers.iter().map(|number| number * 2.0).collect();
        let payload = Payload::Fixed(Buffer::copy_of(bytemuck::cast_slice(&doubled)));
        Ok(Table { rows: inputs.rows, columns: vec![Values { shape: vec![], payload, missing: vec![] }] })
    }
}

/// A server of the models `quick` and `gated`, of `once`, which may not be asked twice, and of a router which sends what is below
/// zero to `gated`.
struct Stage {
    catalog: Arc<Catalog>,
    gate: mpsc::Sender<()>,
    /// With how many rows `gated` was called.
    rows: Arc<AtomicUsize>,
    /// The same of `once`.
    asked_once: Arc<AtomicUsize>,
}

fn description(text: &str) -> Description {
    Description::from_json(&format!(r#"{{"version":"1",{text}}}"#)).unwrap()
}

impl Stage {
    /// On an event loop.
    fn set() -> Self {
        let router = r#""name":"router","runtime":"router","routes":[{"model":"gated","when":{"column":"x","below":0}},{"model":"quick"}]"#;
        let catalog = Catalog::of(vec![(description(router), Vec::new())]);
        catalog.run_on(Threads::start(1).unwrap().0);
        let add = |name: &str| {
            let ((gate, receiver), rows) = (mpsc::channel(), Arc::<AtomicUsize>::default());
            let column = |name: &str| format!(r#"[{{"name":"{name}","dtype":"FP64"}}]"#);
            let signature = format!(r#"{{"inputs":{},"outputs":{}}}"#, column("x"), column("y"));
            let (pure, runtime) = (name != "once", if name == "gated" { "python" } else { "onnx" });
            let model = description(&format!(r#""name":"{name}","runtime":"{runtime}","pure":{pure},"signature":{signature}"#));
            let executor = Doubles { gate: receiver, rows: Arc::clone(&rows) };
            let (offer, executors) = catalog.prepare((model, vec![Box::new(executor)]));
            catalog.start(&offer, executors).unwrap();
            catalog.add(offer).unwrap();
            (gate, rows)
        };
        add("quick");
        let (_, asked_once) = add("once");
        let (gate, rows) = add("gated");
        Self { catalog, gate, rows, asked_once }
    }

    /// Answers tasks beside this one; they are in the queues when it returns.
    async fn begin(&self, tasks: Vec<Task>) -> tokio::task::JoinHandle<Vec<Done>> {
        let (catalog, envelope) = (Arc::clone(&self.catalog), Envelope::new(tasks, None, None).unwrap());
        let running = tokio::spawn(async move { run(&catalog, envelope, Caller::default()).await });
        tokio::task::yield_now().await;
        running
    }

    async fn run(&self, tasks: Vec<Task>) -> Vec<Done> {
        self.begin(tasks).await.await.unwrap()
    }

    /// How many requests to a model ended so.
    fn counted(&self, model: &str, outcome: &str) -> usize {
        let (text, of) = (self.catalog.metrics.text(), [format!("model=\"{model}\""), format!("outcome=\"{outcome}\"")]);
        let line = text.lines().find(|line| line.starts_with("shoal_requests_total") && of.iter().all(|label| line.contains(label)));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    async fn strike(self) {
        drop(self.gate);
        self.catalog.crew.close().await;
    }
}

fn task(model: &str, numbers: &[f64]) -> Task {
    let content = Content::Fixed(Buffer::copy_of(bytemuck::cast_slice(numbers)));
    let column = Column { name: "x".into(), kind: Kind::Plain(Dtype::Fp64), shape: vec![], content, missing: vec![] };
    Task::new(Query::of(model), Ok(Input::Own(Typed { rows: numbers.len(), columns: vec![column] })))
}

fn keyed(task: Task) -> Task {
    Task { key: Some("k".into()), ..task }
}

fn within(milliseconds: u64, task: Task) -> Task {
    Task { timeout: Some(Duration::from_millis(milliseconds)), ..task }
}

fn codes(done: &[Done]) -> Vec<Option<Code>> {
    done.iter().map(|done| done.outcome.as_ref().err().map(|fault| fault.code)).collect()
}

const LATE: Option<Code> = Some(Code::DeadlineExceeded);

#[test]
fn a_result_is_kept_although_another_task_of_its_envelope_is_still_running() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let first = stage.begin(vec![keyed(task("quick", &[1.0])), task("gated", &[-1.0])]).await;
        let again = stage.run(vec![within(5_000, keyed(task("quick", &[1.0])))]).await;
        assert_eq!(codes(&again), [None]);
        stage.gate.send(()).unwrap();
        assert_eq!(codes(&first.await.unwrap()), [None, None]);
        stage.strike().await;
    });
}

#[test]
fn of_those_who_wait_for_one_that_is_given_up_one_is_run_and_the_others_wait_for_it() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let first = stage.begin(vec![within(20, keyed(task("gated", &[-1.0])))]).await;
        let waiting = stage.begin((0..100).map(|_| keyed(task("gated", &[-1.0]))).collect()).await;
        assert_eq!(codes(&first.await.unwrap()), [LATE]);
        stage.gate.send(()).unwrap();
        stage.gate.send(()).unwrap();
        let done = waiting.await.unwrap();
        assert_eq!(codes(&done), vec![None; 100]);
        assert_eq!(done.iter().map(|done| done.id.clone()).collect::<Vec<_>>(), (0..100).map(|id| id.to_string()).collect::<Vec<_>>());
        assert_eq!(stage.rows.load(Ordering::Relaxed), 2);
        stage.strike().await;
    });
}

#[test]
fn those_who_wait_for_one_after_the_other_are_late_at_once() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let done = stage.run((0..2_000).map(|_| within(20, keyed(task("gated", &[-1.0])))).collect()).await;
        assert_eq!(codes(&done), vec![LATE; 2_000]);
        stage.strike().await;
    });
}

#[test]
fn what_a_model_did_to_a_task_of_a_router_is_counted_for_it_and_for_the_router() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let done = stage.run(vec![within(500, task("router", &[1.0, -1.0]))]).await;
        assert_eq!(codes(&done), [LATE]);
        let counted = |outcome| ["quick", "gated", "router"].map(|model| stage.counted(model, outcome));
        assert_eq!((counted("ok"), counted("deadline_exceeded")), ([1, 0, 0], [0, 1, 1]));
        assert_eq!(codes(&stage.run(vec![task("router", &[f64::NAN])]).await), [Some(Code::ModelFailed)]);
        assert_eq!((counted("ok"), counted("model_failed")), ([1, 0, 0], [1, 0, 1]));
        assert_eq!(codes(&stage.run(vec![task("router", &[2.0])]).await), [None]);
        assert_eq!(counted("ok"), [2, 0, 1]);
        stage.strike().await;
    });
}

const FAILED: Option<Code> = Some(Code::ModelFailed);

#[test]
fn those_who_travel_together_are_answered_each_with_its_own() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let numbers: Vec<f64> = (0..200).map(f64::from).collect();
        let tasks = numbers.iter().map(|number| task("quick", &[*number, 1.0])).collect();
        let done = stage.run(tasks).await;
        for (done, number) in done.iter().zip(&numbers) {
            let table = done.outcome.as_ref().unwrap().table();
            let Content::Fixed(buffer) = &table.columns[0].content else { panic!("fixed") };
            assert_eq!((table.rows, bytemuck::cast_slice::<u8, f64>(buffer.bytes())), (2, &[2.0 * number, 2.0][..]));
        }
        assert_eq!(stage.counted("quick", "ok"), 200);
        stage.strike().await;
    });
}

#[test]
fn those_who_travel_together_get_the_columns_that_each_wants() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let wanting = |number: f64| {
            let outputs = (number % 2.0 == 0.0).then(|| vec!["y".into()]);
            let query = Arc::new(Query { model: "quick".into(), outputs, ..Query::default() });
            Task { query, ..task("quick", &[number]) }
        };
        let numbers: Vec<f64> = (0..9).map(f64::from).collect();
        for (done, number) in stage.run(numbers.iter().copied().map(wanting).collect()).await.iter().zip(&numbers) {
            let output = done.outcome.as_ref().unwrap();
            assert!(matches!(output, Output::Stacked(_)));
            let Content::Fixed(buffer) = &output.table().columns[0].content else { panic!("fixed") };
            assert_eq!(buffer.bytes(), (2.0 * number).to_le_bytes());
            assert_eq!(output.size_bytes(), output.table().size_bytes());
        }
        stage.strike().await;
    });
}

/// With a key of its own for each number.
fn with_keys(numbers: &[f64]) -> Vec<Task> {
    numbers.iter().map(|number| Task { key: Some(number.to_string()), ..task("quick", &[*number]) }).collect()
}

#[test]
fn those_with_keys_travel_together_too_and_each_is_kept_by_itself() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let numbers: Vec<f64> = (0..50).map(f64::from).collect();
        let lane = Arc::clone(stage.catalog.choose("quick", None).unwrap().lane());
        let envelope = Envelope::new(with_keys(&numbers), None, None).unwrap();
        let mut run = Run::start(&stage.catalog, envelope, Caller::default(), true);
        assert_eq!(lane.owed(), 1);
        poll_fn(|context| run.poll_all(context)).await;
        let again = stage.run(with_keys(&numbers)).await;
        for (((_, first), again), number) in run.ready.iter().zip(&again).zip(&numbers) {
            let [first, again] = [first, again].map(|done| done.outcome.as_ref().unwrap().table());
            assert_eq!(first, again);
            let Content::Fixed(buffer) = &again.columns[0].content else { panic!("fixed") };
            assert_eq!(buffer.bytes(), &(2.0 * number).to_le_bytes()[..]);
            assert!(!buffer.is_lent(), "the answer to all is held for {number}");
        }
        assert_eq!(stage.counted("quick", "ok"), 50);
        stage.strike().await;
    });
}

#[test]
fn one_that_fails_harms_none_of_those_it_travelled_with() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let done = stage.run(vec![task("quick", &[1.0]), task("quick", &[f64::NAN]), task("quick", &[2.0, 3.0])]).await;
        assert_eq!(codes(&done), [None, FAILED, None]);
        assert_eq!((stage.counted("quick", "ok"), stage.counted("quick", "model_failed")), (2, 1));
        stage.strike().await;
    });
}

/// Tasks whose tables lie on one stack.
fn stacked(kind: &Kind, numbers: &[&[u8]]) -> Vec<Task> {
    let column = |bytes: &[u8]| Column {
        name: "x".into(),
        kind: kind.clone(),
        shape: vec![],
        content: Content::Fixed(Buffer::copy_of(bytes)),
        missing: vec![],
    };
    let (mut stack, _) = Stack::of(Typed { rows: 0, columns: vec![column(&[])] }, 0).unwrap();
    let spans: Vec<_> = numbers.iter().map(|bytes| stack.push(bytes.len() / kind.width(), std::iter::once(*bytes))).collect();
    let whole = stack.whole();
    let input = |span| Ok(Input::Stacked(Stacked { whole: Arc::clone(&whole), span }));
    spans.into_iter().map(|span| Task::new(Query::of("quick"), input(span))).collect()
}

#[test]
fn those_on_a_stack_travel_without_being_copied_and_are_answered_each_with_its_own() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let numbers: Vec<[f64; 2]> = (0..50).map(|number| [f64::from(number), 1.0]).collect();
        let bytes: Vec<&[u8]> = numbers.iter().map(|pair| bytemuck::cast_slice(pair)).collect();
        let mut tasks = stacked(&Kind::Plain(Dtype::Fp64), &bytes);
        let Ok(Input::Stacked(first)) = &tasks[0].input else { panic!("stacked") };
        let Content::Fixed(buffer) = &first.whole.columns[0].content else { panic!("fixed") };
        let values = buffer.bytes().as_ptr();
        let envelope = Envelope::new(tasks.split_off(20), None, None).unwrap();
        let mut run = Run::start(&stage.catalog, envelope, Caller::default(), true);
        let (table, _) = run.convoys[0].shared.as_ref().unwrap();
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        assert_eq!((run.convoys.len(), buffer.bytes().as_ptr()), (1, values.wrapping_add(320)));
        poll_fn(|context| run.poll_all(context)).await;
        for ((_, done), number) in run.ready.iter().zip(&numbers[20..]) {
            let Content::Fixed(buffer) = &done.outcome.as_ref().unwrap().table().columns[0].content else { panic!("fixed") };
            assert_eq!(buffer.bytes(), bytemuck::cast_slice::<f64, u8>(&[2.0 * number[0], 2.0]));
        }
        stage.strike().await;
    });
}

#[test]
fn one_that_the_model_does_not_take_harms_none_of_those_on_its_stack() {
    let narrow = r#""name":"quick","runtime":"onnx","signature":{"inputs":[{"name":"x","dtype":"FP32"}],"outputs":[]}"#;
    let catalog = Catalog::of(vec![(description(narrow), Vec::new())]);
    let numbers = [1.0, 1e300, 2.0].map(f64::to_le_bytes);
    let (all, good) = (numbers.each_ref().map(|bytes| &bytes[..]), [&numbers[0][..], &numbers[2]]);
    let mut drafts = Drafts::new(&catalog);
    let mut drafted = |numbers: &[&[u8]]| {
        stacked(&Kind::Plain(Dtype::Fp64), numbers)
            .into_iter()
            .map(|task| match drafts.draft(&task.query, task.input) {
                Ok(Draft::Asked(request)) => Ok(request.records.into_table(&[Dtype::Fp32]).columns[0].payload.clone()),
                Ok(Draft::Routed(_)) => panic!("no router"),
                Err(Refused { fault, .. }) => Err(fault.code),
            })
            .collect::<Vec<_>>()
    };
    let payload = |number: f32| Ok(Payload::Fixed(Buffer::copy_of(&number.to_le_bytes())));
    assert_eq!(drafted(&all), [payload(1.0), Err(Code::WrongDtype), payload(2.0)]);
    assert_eq!(drafted(&good), [payload(1.0), payload(2.0)]);
}

#[test]
fn those_who_travel_together_are_late_together() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let done = stage.run((0..3).map(|_| within(0, task("quick", &[1.0]))).collect()).await;
        assert_eq!((codes(&done), stage.counted("quick", "deadline_exceeded")), (vec![LATE; 3], 3));
        stage.strike().await;
    });
}

#[test]
fn a_model_that_may_not_be_asked_twice_is_not() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let before = stage.asked_once.load(Ordering::Relaxed);
        let done = stage.run([1.0, f64::NAN, 2.0].map(|number| task("once", &[number])).into()).await;
        assert_eq!((codes(&done), stage.asked_once.load(Ordering::Relaxed) - before), (vec![FAILED; 3], 3));
        stage.strike().await;
    });
}

#[test]
fn a_run_that_is_dropped_leaves_nothing_in_the_queue() {
    event_loop().unwrap().block_on(async {
        let stage = Stage::set();
        let lane = Arc::clone(stage.catalog.choose("quick", None).unwrap().lane());
        for (is_patient, requests) in [(true, 1), (false, 3)] {
            let tasks = [1.0, 2.0, 3.0].map(|number| task("quick", &[number])).into();
            let envelope = Envelope::new(tasks, None, None).unwrap();
            let run = Run::start(&stage.catalog, envelope, Caller::default(), is_patient);
            assert_eq!(lane.owed(), requests);
            drop(run);
            assert_eq!(lane.owed(), 0);
        }
        stage.strike().await;
    });
}
