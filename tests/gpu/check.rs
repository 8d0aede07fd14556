//! The self-check that users run on their own GPU, here on the one at hand.

use tonic_toolkit::train::check::check;

use crate::device;

#[test]
fn every_kernel_agrees_with_the_cpu() {
    let checked = check(&device(), |check| println!("{} {}: {}", check.passed, check.name, check.detail)).unwrap();
    assert_eq!(checked.failed, 0, "{checked:#?}");
    assert!(checked.passed > 30);
}
