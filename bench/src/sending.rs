//! How quoit sends what a builder builds.

use anyhow::Result;
use quoit::zerocopy::IntoBytes;
use quoit::{Producer, TypedProducer};
use quoit_floors::building::{Builder, ByField, ByWord, Copied, InPlace};
use quoit_floors::fields::Fields;

use crate::ends::Create;

/// A builder whose records a producer of its own kind sends.
pub(crate) trait Sending<const N: usize>: Builder<N> {
    type Producer: Create;

    /// Builds the next record and sends it by itself.
    fn send(&mut self, producer: &mut Self::Producer) -> Result<()>;
}

impl<const N: usize> Sending<N> for Copied<N> {
    type Producer = Producer;

    #[inline(always)]
    fn send(&mut self, producer: &mut Producer) -> Result<()> {
        producer.send(self.build().as_bytes())?;
        Ok(())
    }
}

impl<const N: usize> Sending<N> for ByWord<N> {
    type Producer = Producer;

    #[inline(always)]
    fn send(&mut self, producer: &mut Producer) -> Result<()> {
        producer.send(self.build().as_bytes())?;
        Ok(())
    }
}

impl<const N: usize, F: Fields> Sending<N> for ByField<F> {
    type Producer = TypedProducer<F>;

    #[inline(always)]
    fn send(&mut self, producer: &mut TypedProducer<F>) -> Result<()> {
        producer.send(self.build_typed())?;
        Ok(())
    }
}

impl<const N: usize> Sending<N> for InPlace<N> {
    type Producer = Producer;

    #[inline(always)]
    fn send(&mut self, producer: &mut Producer) -> Result<()> {
        let mut claim = producer.claim(N * 8)?;
        let mut written = Ok(());
        self.fill(|place, word| {
            if let Err(error) = claim.write_at(place * 8, &word.to_le_bytes()) {
                written = Err(error);
            }
        });
        written?;
        claim.publish();
        Ok(())
    }
}
