//! The option `--best`: which network of a run a command uses.

use std::path::Path;

use clap::Args;
use tonic_train::run::Config;

#[derive(Args)]
pub(crate) struct BestArgs {
    /// Use the network of the epoch that was best on the validation set, instead of the network of the last epoch
    #[arg(long)]
    pub(crate) best: bool,
}

impl BestArgs {
    /// Returns whether to use the network of the best epoch. If not, and `run` selects an epoch with --select, says on
    /// stderr that this is another network.
    pub(crate) fn choose(&self, run: &Path) -> bool {
        // An unreadable configuration is an error of the command itself.
        let select = Config::read(run).ok().and_then(|config| config.training.select);
        if let Some(select) = select.filter(|_| !self.best) {
            eprintln!(
                "note     this is the network of the last epoch: --best takes that of the epoch which the run selected \
                 by {}",
                select.name()
            );
        }
        self.best
    }
}
