//! A service on tokio that follows two rings and a socket in one task.
//!
//!     cargo run -p quoit-async --example service [RING RING [SOCKET]]
//!
//! It answers every line that a client sends with a line of how many records came from each ring, and the newest of each. In
//! other terminals, before or after: `cargo run --example ticks_publish PATH`, for /dev/shm/quoit-a and /dev/shm/quoit-b unless
//! told otherwise. Once both rings are there, `cargo run -p quoit-async --example service_ask`. Stop it with Ctrl-C.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, EventOf, RecvError, Start};
use quoit_async::AsyncConsumer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// A question of a client, with the place for the answer.
type Question = oneshot::Sender<String>;

struct Followed {
    path: String,
    ring: AsyncConsumer,
    records: u64,
    newest: String,
}

impl Followed {
    async fn open(path: String) -> Result<Self, Box<dyn Error>> {
        let attach = Attach::lossy().start(Start::Oldest);
        // Opening waits for the ring, and so blocks: not in the task.
        let open = move || {
            let ring = Consumer::open_wait(&path, &attach, Instant::now() + Duration::from_secs(60))?;
            Ok::<_, quoit::Error>((path, ring))
        };
        let (path, ring) = tokio::task::spawn_blocking(open).await??;
        Ok(Self { path, ring: AsyncConsumer::new(ring)?, records: 0, newest: String::new() })
    }

    fn take(&mut self, event: Result<EventOf<Vec<u8>>, RecvError>) -> Result<(), RecvError> {
        match event {
            Ok(EventOf::Record { payload, .. }) => {
                self.records += 1;
                self.newest = String::from_utf8_lossy(&payload).into_owned();
            }
            Ok(EventOf::Lost(loss)) => println!("{}: {} records lost", self.path, loss.records),
            Ok(EventOf::ProducerChanged { epoch }) => println!("{}: producer number {epoch}", self.path),
            Ok(_) => {}
            // The next call waits for another producer.
            Err(end @ (RecvError::Closed | RecvError::ProducerGone)) => println!("{}: {end}", self.path),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn answer(&self) -> String {
        format!("{}: {} records, the newest {:?}", self.path, self.records, self.newest)
    }
}

/// Serves one client: a line for a line.
async fn serve(client: UnixStream, questions: mpsc::Sender<Question>) -> std::io::Result<()> {
    let (lines, mut answers) = client.into_split();
    let mut lines = BufReader::new(lines).lines();
    while lines.next_line().await?.is_some() {
        let (question, answer) = oneshot::channel();
        if questions.send(question).await.is_err() {
            break;
        }
        let Ok(answer) = answer.await else { break };
        answers.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = |default: &str| args.next().unwrap_or_else(|| default.to_owned());
    let paths = [next("/dev/shm/quoit-a"), next("/dev/shm/quoit-b")];
    let socket = next("/tmp/quoit-service.sock");
    let [first, second] = paths.map(Followed::open);
    let (mut first, mut second) = tokio::try_join!(first, second)?;

    // What is left of an earlier run.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    let (ask, mut questions) = mpsc::channel::<Question>(16);
    println!("serving at {socket}");
    loop {
        // Whatever is not chosen is dropped, and has lost nothing.
        tokio::select! {
            event = first.ring.next() => first.take(event)?,
            event = second.ring.next() => second.take(event)?,
            accepted = listener.accept() => {
                let (client, _) = accepted?;
                tokio::spawn(serve(client, ask.clone()));
            }
            question = questions.recv() => {
                if let Some(question) = question {
                    // The client may have gone.
                    let _ = question.send(format!("{}; {}\n", first.answer(), second.answer()));
                }
            }
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                break;
            }
        }
    }
    std::fs::remove_file(&socket)?;
    Ok(())
}
