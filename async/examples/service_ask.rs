//! Asks `service` once a second, and prints its answers.
//!
//!     cargo run -p quoit-async --example service_ask [COUNT [SOCKET]]
//!
//! Run `service` in another terminal before, until it says where it serves.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let count: u32 = args.next().map_or(Ok(10), |text| text.parse())?;
    let socket = args.next().unwrap_or_else(|| "/tmp/quoit-service.sock".into());
    let (answers, mut questions) = UnixStream::connect(&socket).await?.into_split();
    let mut answers = BufReader::new(answers).lines();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..count {
        seconds.tick().await;
        questions.write_all(b"how many?\n").await?;
        match answers.next_line().await? {
            Some(answer) => println!("{answer}"),
            None => return Err("the service has ended".into()),
        }
    }
    Ok(())
}
