//! Runtimes, as far as tests need them.
#![allow(dead_code, reason = "each test crate uses its share")]

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_lite::future;

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime, as far as these tests need one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
}

impl Runtime {
    /// Runs a test on each, which must not take longer than anything takes.
    pub(crate) fn each<F: Future<Output = ()> + Send + 'static>(test: fn(Self) -> F) {
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let limited = async {
            let task = tokio::spawn(test(Self::Tokio));
            tokio::time::timeout(PATIENCE, task).await.expect("it hangs under tokio").unwrap();
        };
        tokio.block_on(limited);
        let limit = async {
            smol::Timer::after(PATIENCE).await;
            panic!("it hangs under smol");
        };
        smol::block_on(future::or(smol::spawn(test(Self::Smol)), limit));
    }

    pub(crate) async fn sleep(self, time: Duration) {
        match self {
            Self::Tokio => tokio::time::sleep(time).await,
            Self::Smol => drop(smol::Timer::after(time).await),
        }
    }

    pub(crate) fn spawn(self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        match self {
            Self::Tokio => {
                let handle = tokio::spawn(task);
                Box::pin(async move { handle.await.unwrap() })
            }
            Self::Smol => Box::pin(smol::spawn(task)),
        }
    }
}
