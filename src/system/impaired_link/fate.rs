//! What happens to each frame: a pure function of its length, the time and a seed.

use std::time::Duration;

use super::Impairment;

/// How much later than others a frame arrives that is overtaken.
pub(super) const SETBACK: Duration = Duration::from_millis(20);

/// The bytes of both MAC addresses, after which EtherType or tags stand.
const ADDRESSES: usize = 12;
const ETHER_TYPE: usize = 2;
const TAG: usize = 4;
/// EtherTypes of VLAN tags: IEEE 802.1Q and 802.1ad.
const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives at this time since the start of the link.
    Arrives(Duration),
}

/// Decides about the frames of one direction.
#[derive(Debug)]
pub(super) struct Fates {
    impairment: Impairment,
    random: SplitMix,
}

impl Fates {
    /// With the same seed, frames of the same lengths have the same fates.
    pub(super) fn new(impairment: Impairment, seed: u64) -> Self {
        Self { impairment, random: SplitMix(seed) }
    }

    /// Decides about the next frame, which has this much beside its Ethernet header and VLAN tags.
    pub(super) fn decide(&mut self, now: Duration, packet: usize) -> Fate {
        let Impairment { loss, largest, delay, reorder, silence } = self.impairment;
        // Both are always drawn, so that a seed loses the same frames with and without the rest.
        let (is_lost, is_overtaken) = (self.random.happens(loss), self.random.happens(reorder));
        let is_too_long = largest.is_some_and(|largest| packet > usize::from(largest));
        match now < silence || is_too_long || is_lost {
            true => Fate::Lost,
            false => Fate::Arrives(now + delay + if is_overtaken { SETBACK } else { Duration::ZERO }),
        }
    }
}

/// Returns the length of a frame without its Ethernet header and VLAN tags.
pub(super) fn packet_length(frame: &[u8]) -> usize {
    let mut header = ADDRESSES;
    while frame
        .get(header..header + ETHER_TYPE)
        .is_some_and(|ether_type| TAGS.iter().any(|tag| tag == ether_type))
    {
        header += TAG;
    }
    frame.len().saturating_sub(header + ETHER_TYPE)
}

/// The generator SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, and every seed is a good one.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// Returns true in so many of a hundred calls.
    fn happens(&mut self, percent: u8) -> bool {
        self.next() % 100 < percent.into()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many frames, one each millisecond.
    const FRAMES: u32 = 20_000;

    fn sent(number: u32) -> Duration {
        Duration::from_millis(number.into())
    }

    fn fates(impairment: Impairment, seed: u64) -> Vec<Fate> {
        let mut fates = Fates::new(impairment, seed);
        (0..FRAMES).map(|number| fates.decide(sent(number), 100)).collect()
    }

    fn count(fates: &[Fate], is: impl Fn(u32, Fate) -> bool) -> usize {
        (0..).zip(fates).filter(|(number, fate)| is(*number, **fate)).count()
    }

    #[test]
    fn without_impairment_each_frame_arrives_at_once() {
        let fates = fates(Impairment::default(), 1);
        assert_eq!(count(&fates, |number, fate| fate == Fate::Arrives(sent(number))), fates.len());
        assert_eq!(Fates::new(Impairment::default(), 1).decide(sent(7), usize::MAX), Fate::Arrives(sent(7)));
    }

    #[test]
    fn as_many_are_lost_as_said() {
        let lost = |loss, seed| {
            count(&fates(Impairment { loss, ..Impairment::default() }, seed), |_, fate| fate == Fate::Lost)
        };
        for seed in [0, 1, 2, u64::MAX] {
            assert_eq!(lost(0, seed), 0);
            // Five standard deviations of 20,000 draws are 155 at 30 %.
            assert!(lost(30, seed).abs_diff(6_000) < 324, "{}", lost(30, seed));
            assert!(lost(1, seed).abs_diff(200) < 71, "{}", lost(1, seed));
            assert_eq!(lost(100, seed), 20_000);
        }
    }

    #[test]
    fn a_seed_loses_the_same_frames_with_and_without_the_rest() {
        let few = Impairment { loss: 10, ..Impairment::default() };
        let more = Impairment { reorder: 50, delay: Duration::from_secs(1), ..few };
        let lost = |impairment, seed| -> Vec<bool> {
            fates(impairment, seed).iter().map(|fate| *fate == Fate::Lost).collect()
        };
        assert_eq!(lost(few, 5), lost(more, 5));
        assert_ne!(lost(few, 5), lost(few, 6));
    }

    #[test]
    fn as_many_are_overtaken_as_said() {
        let impairment = Impairment { reorder: 25, ..Impairment::default() };
        let fates = fates(impairment, 3);
        let late = count(&fates, |number, fate| fate == Fate::Arrives(sent(number) + SETBACK));
        let at_once = count(&fates, |number, fate| fate == Fate::Arrives(sent(number)));
        assert_eq!(late + at_once, fates.len());
        assert!(late.abs_diff(5_000) < 307, "{late}");
    }

    #[test]
    fn delayed_frames_keep_their_order() {
        let delay = Duration::from_millis(100);
        let fates = fates(Impairment { delay, ..Impairment::default() }, 3);
        assert_eq!(count(&fates, |number, fate| fate == Fate::Arrives(sent(number) + delay)), fates.len());
    }

    #[test]
    fn nothing_arrives_in_the_silence() {
        let silence = Duration::from_secs(5);
        let fates = fates(Impairment { silence, ..Impairment::default() }, 3);
        assert_eq!(count(&fates[..5_000], |_, fate| fate == Fate::Lost), 5_000);
        assert_eq!(count(&fates[5_000..], |_, fate| fate == Fate::Lost), 0);
    }

    #[test]
    fn the_largest_packet_still_arrives() {
        let mut fates = Fates::new(Impairment { largest: Some(1400), ..Impairment::default() }, 3);
        assert_eq!(fates.decide(sent(1), 1400), Fate::Arrives(sent(1)));
        assert_eq!(fates.decide(sent(1), 1401), Fate::Lost);
    }

    #[test]
    fn neither_header_nor_tags_count() {
        let frame =
            |tags: &[u8], packet: usize| [&[2; ADDRESSES], tags, &[0x08, 0x00], &vec![0x45; packet]].concat();
        assert_eq!(packet_length(&frame(&[], 1500)), 1500);
        assert_eq!(packet_length(&frame(&[0x81, 0, 0, 5], 1500)), 1500);
        assert_eq!(packet_length(&frame(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], 1500)), 1500);
        assert_eq!(packet_length(&frame(&[], 0)), 0);
        for length in 0..18 {
            assert_eq!(packet_length(&frame(&[0x81, 0, 0, 5], 0)[..length]), 0);
        }
    }
}
