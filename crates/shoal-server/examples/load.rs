//! Asks a server over HTTP: `just bench replay` runs it.
//!
//! `load ADDRESS PATH BODY closed CONNECTIONS SECONDS`: each connection asks again when it is answered.
//! `load ADDRESS PATH BODY open PER_SECOND SECONDS`: Poisson arrivals, each on a connection that is idle, or a new one.
//!
//! BODY is a file. Standard output gets one JSON object: how many requests were answered, in how many seconds. An answer
//! that is no 200 ends the program with an error. It spins on one core, since a timer would be too coarse for arrivals.

use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::{JoinSet, yield_now};

/// A server that stalls must not be given more connections than it takes.
const CONNECTIONS_LIMIT: usize = 512;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is asked, whole.
struct Question {
    address: String,
    bytes: Vec<u8>,
}

/// A connection with the room for its answers.
struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    async fn open(question: &Question) -> Outcome<Self> {
        let stream = TcpStream::connect(&question.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4096) })
    }

    async fn ask(&mut self, question: &Question) -> Outcome<()> {
        let mut sent = 0;
        while sent < question.bytes.len() {
            self.stream.writable().await?;
            sent += or_blocked(self.stream.try_write(&question.bytes[sent..]))?.unwrap_or(0);
        }
        self.answer.clear();
        while !is_whole(&self.answer)? {
            self.stream.readable().await?;
            if or_blocked(self.stream.try_read_buf(&mut self.answer))? == Some(0) {
                return Err("the server closed a connection".into());
            }
        }
        Ok(())
    }
}

fn or_blocked(outcome: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match outcome {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

/// Whether an answer with status 200 is there to its last byte.
fn is_whole(answer: &[u8]) -> Outcome<bool> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let head = std::str::from_utf8(&answer[..end])?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("an answer is no 200: {}", String::from_utf8_lossy(answer)).into());
    }
    let length = head.lines().find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")));
    let (_, length) = length.ok_or("an answer has no length")?;
    Ok(answer.len() >= end + 4 + length.trim().parse::<usize>()?)
}

async fn closed(question: &Rc<Question>, connections: usize, until: Instant) -> Outcome<usize> {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (question, mut line) = (Rc::clone(question), Line::open(question).await?);
        clients.spawn_local(async move {
            let mut answered = 0;
            while Instant::now() < until {
                line.ask(&question).await.map_err(|error| error.to_string())?;
                answered += 1;
            }
            Ok::<usize, String>(answered)
        });
    }
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        answered += client??;
    }
    Ok(answered)
}

async fn open(question: &Rc<Question>, per_second: f64, until: Instant) -> Outcome<usize> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut idle, mut under_way, mut answered) = (Vec::<Line>::new(), JoinSet::new(), 0);
    let mut due = Instant::now();
    while due < until {
        while let Some(line) = under_way.try_join_next() {
            idle.push(line??);
            answered += 1;
        }
        // Beyond the limit, who is due waits for a connection.
        if Instant::now() < due || (idle.is_empty() && under_way.len() >= CONNECTIONS_LIMIT) {
            yield_now().await;
            continue;
        }
        due += Duration::from_secs_f64(-chance.share().ln() / per_second);
        let question = Rc::clone(question);
        let line = idle.pop();
        under_way.spawn_local(async move {
            let asked = async {
                let mut line = match line {
                    Some(line) => line,
                    None => Line::open(&question).await?,
                };
                line.ask(&question).await.map(|()| line)
            };
            asked.await.map_err(|error: Box<dyn Error>| error.to_string())
        });
    }
    while let Some(line) = under_way.join_next().await {
        line??;
        answered += 1;
    }
    Ok(answered)
}

/// Numbers by chance: xorshift64*, always the same ones.
struct Chance(u64);

impl Chance {
    /// Above 0, at most 1.
    fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, body, kind, amount, seconds] = &words[..] else {
        return Err("usage: load ADDRESS PATH BODY closed|open CONNECTIONS|PER_SECOND SECONDS".into());
    };
    let body = std::fs::read(body)?;
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let question = Rc::new(Question { address: address.clone(), bytes: [head.into_bytes(), body].concat() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(seconds.parse()?);
    let answered = local.block_on(&runtime, async {
        match kind.as_str() {
            "closed" => closed(&question, amount.parse()?, until).await,
            "open" => open(&question, amount.parse()?, until).await,
            other => Err(format!("{other:?} is no kind of load").into()),
        }
    })?;
    println!("{{\"answered\":{answered},\"seconds\":{}}}", started.elapsed().as_secs_f64());
    Ok(())
}
