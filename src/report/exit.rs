//! Exit codes of a run.

/// Every expectation was met.
pub const MET: u8 = 0;
/// An expectation was missed, or a machine died.
pub const MISSED: u8 = 1;
/// The lab file or the command line is wrong.
pub const WRONG: u8 = 2;
/// This host cannot run the lab.
pub const UNFIT: u8 = 3;
/// The cleanup is incomplete.
pub const LEFT: u8 = 4;
/// Internal error.
pub const BUG: u8 = 70;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// Most severe first.
const ORDER: [u8; 6] = [BUG, WRONG, UNFIT, LEFT, MISSED, INTERRUPTED];

/// Returns the most severe code; [`MET`] if there is none. An unknown code counts as an internal error.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: &u8| match ORDER.iter().position(|known| known == code) {
        Some(at) => at,
        None if *code == MET => ORDER.len(),
        None => 0,
    };
    let best = codes.into_iter().map(|code| rank(&code)).min();
    best.and_then(|rank| ORDER.get(rank)).copied().unwrap_or(MET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_wins() {
        assert_eq!(worst([]), MET);
        assert_eq!(worst([MET, MET]), MET);
        assert_eq!(worst([MISSED, LEFT]), LEFT);
        assert_eq!(worst([LEFT, UNFIT, MISSED]), UNFIT);
        assert_eq!(worst([UNFIT, WRONG]), WRONG);
        assert_eq!(worst([WRONG, BUG, MET]), BUG);
        assert_eq!(worst([INTERRUPTED, MET]), INTERRUPTED);
        assert_eq!(worst([INTERRUPTED, MISSED]), MISSED);
        assert_eq!(worst([101, MISSED]), BUG);
    }
}
