//! Guesses which columns are t, x, y and p, from their numbers. Guesses are only suggested to the user, never used
//! directly.

use crate::source::columns::roles::Role;

/// Maximum number of events of a recording that are read for a guess.
pub(crate) const GUESSED_EVENTS: u64 = 1 << 16;

/// Guesses which of `columns` are t, x, y and p. Returns the index of each. Indices in `known` are returned unchanged.
///
/// - p is the last column with exactly two different numbers, both usual for polarities.
/// - t is the ascending column with the highest last number. A column that only counts the events (0, 1, 2 ...) is t
///   only if no other column ascends.
/// - If more than two columns remain, those that only count the events are dropped.
/// - If p is missing, three columns remain, and exactly one of them has at most two different numbers, then it is p.
/// - x and y are the first two columns that remain.
pub(crate) fn guess(columns: &[Vec<f64>], known: [Option<usize>; 4]) -> [Option<usize>; 4] {
    let [mut t, mut x, mut y, mut p] = known;
    let free = |taken: &[Option<usize>]| -> Vec<usize> {
        (0..columns.len()).filter(|&i| !known.contains(&Some(i)) && !taken.contains(&Some(i))).collect()
    };
    if p.is_none() {
        let polarity = |&&i: &&usize| is_polarity(&columns[i]) && distinct_at_most(&columns[i], 2) == Some(2);
        p = free(&[]).iter().rfind(polarity).copied();
    }
    let sorted = |i: &usize| columns[*i].is_sorted() && columns[*i].first() < columns[*i].last();
    if t.is_none() {
        let last = |&i: &usize| columns[i].last().copied().unwrap_or(0.0);
        // A sorted column that goes up by one with each event is probably a row number, if another column is sorted.
        let is_time = |&i: &usize| !counts_rows(&columns[i]);
        let higher = |a: &usize, b: &usize| is_time(a).cmp(&is_time(b)).then(last(a).total_cmp(&last(b)));
        t = free(&[p]).into_iter().filter(sorted).max_by(higher);
    }
    let mut others = free(&[t, p]);
    if others.len() > 2 {
        others.retain(|&i| !counts_rows(&columns[i]));
    }
    if p.is_none() && others.len() == 3 {
        // Polarities can also be other numbers, or all equal.
        let few = |&i: &usize| distinct_at_most(&columns[i], 2).is_some();
        let mut found = others.iter().copied().filter(few);
        p = found.next().filter(|_| found.next().is_none());
        others.retain(|&i| p != Some(i));
    }
    let mut others = others.into_iter();
    if x.is_none() {
        x = others.next();
    }
    if y.is_none() {
        y = others.next();
    }
    [t, x, y, p]
}

/// Guesses the order of a table's columns, such as `x,y,_,t,p`. A `_` is any other column. `None` if t or x is not
/// found.
pub(crate) fn guess_order(columns: &[Vec<f64>]) -> Option<String> {
    let found = guess(columns, [None; 4]);
    let name = |i| Some(Role::ALL.into_iter().find(|&role| found[role as usize] == Some(i)).map_or("_", Role::name));
    let names: Option<Vec<&str>> = (0..columns.len()).map(name).collect();
    names.filter(|_| found[0].is_some() && found[1].is_some()).map(|names| names.join(","))
}

fn is_polarity(column: &[f64]) -> bool {
    let all_ones = [u8::MAX.into(), u16::MAX.into(), u32::MAX.into(), u64::MAX as f64];
    column.iter().all(|n| [-1.0, 0.0, 1.0].contains(n) || all_ones.contains(n))
}

/// Returns whether a column only counts the events: each number is one more than the number before it.
fn counts_rows(column: &[f64]) -> bool {
    column.len() > 1 && column.windows(2).all(|pair| pair[1] == pair[0] + 1.0)
}

/// Returns the number of different values in a column. `None` if there are more than `most`.
fn distinct_at_most(column: &[f64], most: usize) -> Option<usize> {
    let mut values: Vec<f64> = Vec::new();
    for n in column {
        if !values.contains(n) {
            values.push(*n);
        }
        if values.len() > most {
            return None;
        }
    }
    Some(values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_table_is_told_from_its_content() {
        let (t, x, y) = (vec![0.0, 5.0, 9.0, 9.5], vec![3.0, 1.0, 2.0, 0.0], vec![7.0, 7.0, 1.0, 2.0]);
        let on = vec![1.0, 0.0, 1.0, 1.0];
        let sign = vec![1.0, 4_294_967_295.0, 1.0, 1.0];
        let (two, one) = (vec![2.0, 1.0, 2.0, 2.0], vec![1.0; 4]);
        let (index, seconds) = (vec![0.0, 1.0, 2.0, 3.0], vec![0.1, 0.2, 0.2, 0.4]);
        for (columns, expected) in [
            (vec![&t, &x, &y, &on], Some("t,x,y,p")),
            (vec![&x, &y, &t, &sign], Some("x,y,t,p")),
            (vec![&on, &t, &x], Some("p,t,x")),
            (vec![&x, &t], Some("x,t")),
            (vec![&t, &x, &y, &on, &x], Some("t,x,y,p,_")),
            (vec![&x, &y, &x, &on], None),
            (vec![&t, &x, &y, &two], Some("t,x,y,p")),
            (vec![&one, &x, &y, &t], Some("p,x,y,t")),
            (vec![&index, &t, &x, &y, &on], Some("_,t,x,y,p")),
            (vec![&x, &y, &seconds, &on, &index], Some("x,y,t,p,_")),
            (vec![&index, &x, &y, &on], Some("t,x,y,p")),
        ] {
            let columns: Vec<Vec<f64>> = columns.into_iter().cloned().collect();
            assert_eq!(guess_order(&columns).as_deref(), expected);
        }
        assert_eq!(guess(&[x, y, t], [None, Some(1), None, None]), [Some(2), Some(1), Some(0), None]);
    }
}
