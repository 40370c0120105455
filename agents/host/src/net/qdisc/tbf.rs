//! The options of `tbf`, the token bucket (linux/pkt_sched.h).

use std::time::Duration;

use chaos_core::literal::{Rate, Size};
use serde::{Deserialize, Serialize};

use crate::net::netlink::{Attribute, Attributes, Message, u32_at};

/// A bucket that fills at a rate; a packet passes when there is as much in it as it is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tbf {
    /// Bytes a second.
    pub(crate) rate: u64,
    /// How much the bucket holds, in bytes, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<u32>,
    /// The longest packet of the interfaces that lead here, in bytes, without its header.
    pub(crate) mtu: u32,
}

const PARAMETERS: u16 = 1;
const RATE_64: u16 = 4;
const BURST: u16 = 6;

/// `TC_LINKLAYER_ETHERNET`: the kernel computes, and needs no table.
const ETHERNET: u8 = 1;
/// What comes before the payload of the longest frame: two addresses, a type, and the tag of a virtual network.
const HEADERS: u32 = 18;
/// The kernel's timer is good to much less; a bucket of so much time keeps the processor idle in between.
const BUCKET_OF: u64 = 250;
/// How long the last of the queue waits, as part of a second: a router's usual buffer.
const QUEUE_OF: u64 = 5;
/// However slow, so many of the longest packets may wait.
const QUEUE_PACKETS: u32 = 8;

impl Tbf {
    /// The longest that a packet can be.
    fn longest(self) -> u32 {
        self.mtu.saturating_add(HEADERS)
    }

    /// So many bytes are passed in one part of a second.
    fn part(self, of: u64) -> u32 {
        u32::try_from(self.rate / of).unwrap_or(u32::MAX)
    }

    /// How much the bucket holds, in bytes: so much passes at once. It is 4 ms of the rate, but at least the longest packet, which would
    /// never pass otherwise.
    pub(crate) fn bucket(self) -> u32 {
        self.burst.unwrap_or_else(|| self.part(BUCKET_OF)).max(self.longest())
    }

    /// How much may wait, in bytes, the bucket included; more is lost. It is 200 ms of the rate, but at least eight of the longest packets.
    pub(crate) fn limit(self) -> u32 {
        let queue = self.part(QUEUE_OF).max(self.longest().saturating_mul(QUEUE_PACKETS));
        self.bucket().saturating_add(queue)
    }

    /// As the kernel takes them.
    pub(super) fn options(self, message: Message) -> Message {
        let short = u32::try_from(self.rate).unwrap_or(u32::MAX);
        let message = if self.rate > u64::from(u32::MAX) { message.u64(RATE_64, self.rate) } else { message };
        message.bytes(PARAMETERS, &self.parameters(short)).u32(BURST, self.bucket())
    }

    /// `struct tc_tbf_qopt`: two rates of twelve bytes, the limit, and three numbers that the attribute of the burst stands for.
    fn parameters(self, rate: u32) -> Vec<u8> {
        let mut out = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
        out.extend_from_slice(&rate.to_ne_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&self.limit().to_ne_bytes());
        // Time to fill the bucket, in ticks of 64 ns: for kernels that do not know the attribute.
        let ticks = u128::from(self.bucket()) * 1_000_000_000 / 64 / u128::from(self.rate.max(1));
        out.extend_from_slice(&u32::try_from(ticks).unwrap_or(u32::MAX).to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out
    }

    /// Are these its options, as the kernel says them? At whatever rate, which a ramp moves.
    pub(super) fn is(self, said: &[u8]) -> bool {
        let attributes = Attributes::new(said);
        let parameters = attributes.get(PARAMETERS).map(|a| a.value).unwrap_or_default();
        let rate = attributes.get(RATE_64).and_then(Attribute::u64).or_else(|| u32_at(parameters, 8).map(u64::from)).unwrap_or(0);
        rate > 0 && u32_at(parameters, 24) == Some(Self { rate, ..self }.limit())
    }

    /// For people.
    pub(super) fn words(self) -> String {
        format!("{}, {} at once", Rate::Bytes(self.rate), Size::from_bytes(self.bucket().into()))
    }

    /// A line that lets pass at once what it would carry in a noticeable time is no narrow line for short messages: says so.
    pub(crate) fn wide_at_first(self) -> Option<String> {
        const NOTICED: Duration = Duration::from_millis(100);
        let bucket = self.bucket();
        let lasts = Duration::from_millis(u64::from(bucket) * 1000 / self.rate.max(1));
        let is_enlarged = self.burst.is_none_or(|asked| asked < bucket);
        (is_enlarged && lasts > NOTICED).then(|| {
            let (size, lasts) = (Size::from_bytes(bucket.into()), chaos_core::literal::Duration::from(lasts));
            format!("after a rest {size} pass at once, the longest packet of that interface: as much as the rate carries in {lasts}")
        })
    }
}
