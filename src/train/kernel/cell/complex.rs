//! The resonate-and-fire cell with a complex state: `c-silif`.
//!
//! ```text
//! z[t] = lambda (z[t-1] - 0.5 s[t-1]) + b I[t]        lambda = p + iq; the potential is 2 Re z
//!
//! k = p mr[t+1] + q mi[t+1]        mr, mi = dL/dRe z, dL/dIm z
//! mi[t] = p mi[t+1] - q mr[t+1]    mr[t] = 2 sigma[t] (g[t] - 0.5 k) + k        dL/dI[t] = b mr[t]
//! dL/dp = sum of mr[t] v + mi[t] Im z[t-1]        dL/dq = sum of mi[t] v - mr[t] Im z[t-1]
//! dL/db = sum of mr[t] I[t]                       v = Re z[t-1] - 0.5 s[t-1]
//! ```
//!
//! This is C-SiLIF (Fabre et al. 2025).

use crate::kernel::cell::dynamics::{Dynamics, Step};
use crate::kernel::cell::{CONSTANTS, PARAMETER_SUMS};
use crate::kernel::vector::Real;

/// `c-silif`, whose constants are p, q and b, and whose states are Re z and Im z.
pub(super) struct Complex;

impl Dynamics for Complex {
    #[inline(always)]
    fn step<V: Real>(c: &[V; CONSTANTS], [re, im]: [V; 2], spikes_before: V, input: V) -> [V; 2] {
        let [p, q, b, ..] = *c;
        let v = spikes_before.mul_add(V::splat(-0.5), re);
        [v.mul_add(p, b.mul(input).sub(q.mul(im))), v.mul_add(q, p.mul(im))]
    }

    #[inline(always)]
    fn potential<V: Real>([re, _]: [V; 2]) -> V {
        re.add(re)
    }

    #[inline(always)]
    fn back<V: Real>(c: &[V; CONSTANTS], at: &Step<V>, next: [V; 2], sums: &mut [V; PARAMETER_SUMS]) -> ([V; 2], V) {
        let [p, q, b, ..] = *c;
        let [next_re, next_im] = next;
        let k = p.mul_add(next_re, q.mul(next_im));
        let im = p.mul(next_im).sub(q.mul(next_re));
        let s = k.mul_add(V::splat(-0.5), at.g);
        let re = at.sigma.add(at.sigma).mul_add(s, k);
        let [re_before, im_before] = at.before;
        let v = at.spikes_before.mul_add(V::splat(-0.5), re_before);
        sums[0] = re.mul_add(v, im.mul_add(im_before, sums[0]));
        sums[1] = im.mul_add(v, sums[1].sub(re.mul(im_before)));
        sums[2] = re.mul_add(at.input, sums[2]);
        ([re, im], b.mul(re))
    }
}
