//! Modes that are probably decimal by mistake, by the rules of Butane.

/// Returns the mode that was probably meant: the digits, read as octal.
pub(super) fn decimal(mode: i64, directory: bool) -> Option<i64> {
    let octal =
        i64::from_str_radix(&mode.to_string(), 8).ok().filter(|octal| (0..=0o7777).contains(octal))?;
    (!is_typical(mode, directory) && is_typical(octal, directory)).then_some(octal)
}

/// Whether a mode is one that people use.
fn is_typical(mode: i64, directory: bool) -> bool {
    if mode == 0 {
        return true;
    }
    // Others, the group and the owner: each may do what the one before may.
    let mut before = 0;
    for class in [mode & 7, (mode >> 3) & 7, (mode >> 6) & 7] {
        let may = |bit: i64| class & bit != 0;
        let might = |bit: i64| before & bit != 0;
        let loses = before & !class != 0;
        let executes_more = may(1) && might(4) && !might(1);
        let without_reading = (may(2) || may(1)) && !may(4);
        if loses || executes_more || without_reading {
            return false;
        }
        before |= class;
    }
    before & 4 != 0 && (!directory || before & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimal_modes_are_told_from_octal_ones() {
        for (mode, directory, meant) in [
            (644, false, Some(0o644)),
            (755, true, Some(0o755)),
            (600, false, Some(0o600)),
            (1777, true, Some(0o1777)),
            (0o644, false, None),
            (0o4755, false, None),
            (420, false, None),
            (0, false, None),
            (888, false, None),
            (-1, false, None),
        ] {
            assert_eq!(decimal(mode, directory), meant, "{mode}");
        }
    }
}
