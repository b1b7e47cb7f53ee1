//! iceoryx2: publish and subscribe, loaned samples, no events.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use super::Peer;
use crate::work::{Receiver, Sender, Shape};

type Service = ipc::Service;

/// Its queues hold references, and it makes a sample for each: so many are enough for every size.
const MOST: usize = 16_384;

pub(crate) enum Iceoryx {}

impl<const N: usize> Peer<N> for Iceoryx {
    type Sender = Writer<N>;
    type Receiver = Reader<N>;

    fn sender(path: &Path, shape: Shape) -> Result<Writer<N>> {
        let (_node, service) = service(path, shape)?;
        let strategy = BackpressureStrategy::RetryUntilDelivered;
        let publisher = service.publisher_builder().backpressure_strategy(strategy).create();
        Ok(Writer { publisher: publisher.map_err(|error| anyhow!("{error:?}"))?, _node })
    }

    fn receiver(path: &Path, shape: Shape) -> Result<Reader<N>> {
        let (_node, service) = service(path, shape)?;
        let subscriber = service.subscriber_builder().create();
        Ok(Reader { subscriber: subscriber.map_err(|error| anyhow!("{error:?}"))?, _node })
    }
}

type Found<const N: usize> = (Node<Service>, PortFactory<Service, [u64; N], ()>);

/// Everything of it lies in the directory of the path, or carries its name.
fn service<const N: usize>(path: &Path, shape: Shape) -> Result<Found<N>> {
    let directory = path.parent().and_then(Path::to_str).context("no directory")?;
    let mut config = Config::default();
    let root = iceoryx2::prelude::Path::new(directory.as_bytes());
    config.global.set_root_path(&root.map_err(|error| anyhow!("{error:?}"))?);
    // Its shared memory is elsewhere. Whoever made the directory sweeps away what begins with its name.
    let run = path.parent().and_then(Path::file_name).context("no name for this run")?;
    let prefix = FileName::new(run.as_encoded_bytes()).map_err(|error| anyhow!("{error:?}"))?;
    config.global.prefix = prefix;
    let node = NodeBuilder::new().config(&config).create::<Service>();
    let node = node.map_err(|error| anyhow!("{error:?}"))?;
    let name = path.file_name().and_then(|name| name.to_str()).context("no name")?;
    let service = node
        .service_builder(&name.try_into().map_err(|error| anyhow!("{error:?}"))?)
        .publish_subscribe::<[u64; N]>()
        .enable_safe_overflow(shape.lossy)
        .subscriber_max_buffer_size(Shape::slots(N * 8).min(MOST))
        .max_publishers(1)
        .max_subscribers(1)
        .history_size(0)
        .open_or_create();
    Ok((node, service.map_err(|error| anyhow!("{error:?}"))?))
}

pub(crate) struct Writer<const N: usize> {
    publisher: Publisher<Service, [u64; N], ()>,
    _node: Node<Service>,
}

impl<const N: usize> Sender<N> for Writer<N> {
    #[inline(always)]
    fn send(&mut self, record: &[u64; N]) -> Result<()> {
        self.publisher.loan_uninit()?.write_payload(*record).send()?;
        Ok(())
    }
}

pub(crate) struct Reader<const N: usize> {
    subscriber: Subscriber<Service, [u64; N], ()>,
    _node: Node<Service>,
}

impl<const N: usize> Receiver<N> for Reader<N> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&[u64; N])) -> Result<usize> {
        Ok(self.subscriber.receive()?.map_or(0, |sample| {
            each(&sample);
            1
        }))
    }
}
