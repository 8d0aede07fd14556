//! What follows the last epoch of a run: computing the running statistics of norms again, the selected epoch, and the
//! test.

use tonic_base::{Progress, publish, remove_file};

use crate::error::Result;
use crate::feed::Feed;
use crate::learner::{Evaluation, Score, Selected, TrainState};
use crate::network::Network;
use crate::run::events;
use crate::run::folder::{BEST, MODEL, TEST};
use crate::run::reestimate::{Reestimated, reestimate};
use crate::run::saved_networks;
use crate::run::sums;
use crate::run::training::Training;

impl Training<'_> {
    /// Prints why training stopped early, and which epoch is selected. Returns the selected epoch.
    pub(super) fn say_selected(&self) -> Option<Selected> {
        let done = self.epochs.len() as u64;
        let training = &self.config.training;
        let best = training.best(&self.epochs);
        if let Some(patience) = training.patience.filter(|_| done < self.config.epochs)
            && let Some(Selected { epoch, by }) = best
        {
            let name = by.name();
            self.fit.say(|| {
                format!("stop     after epoch {done}: {patience} epochs without a better {name} than epoch {epoch}")
            });
        }
        let selected = best.filter(|_| training.select.is_some());
        if let Some(Selected { epoch, by }) = selected {
            self.fit.say(|| format!("select   epoch {epoch}, the first with the best {}, is in {BEST}", by.name()));
        }
        selected
    }

    /// Computes the running statistics of norms again for the last and the best network, saves both networks, and
    /// evaluates them on the validation set, if there is one. The checkpoint and the learner keep the old statistics,
    /// so that a resumed run continues with them.
    pub(super) fn reestimate(&mut self, train: &Feed, valid: Option<&Feed>) -> Result<Option<Reestimated>> {
        let (fit, folder) = (self.fit, &self.fit.run);
        let ranks = fit.backend.ranks;
        let has_best = ranks.from_root(ranks.is_root().then(|| folder.join(BEST).exists()));
        let files = [Some(MODEL), has_best.then_some(BEST)];
        let mut networks = Vec::new();
        for file in files.into_iter().flatten() {
            let saved = self.saved_network(file)?;
            networks.push((file, saved.parameters.statistics().to_vec(), saved));
        }
        let samples = networks.len() as u64 * train.loader().set().len();
        let progress = Progress::start(fit.verbosity, "norms", samples, "samples");
        for (_, _, network) in &mut networks {
            let done = reestimate(ranks, network, train, self.config.batch_size, self.padding, &progress);
            done.map_err(|error| self.explain(error))?;
        }
        progress.finish();
        if ranks.is_root() {
            sums::update(folder, || {
                for (file, before, network) in &networks {
                    if network.parameters.statistics() != before {
                        remove_file(&folder.join(TEST))?; // it has the result of the replaced network
                        self.publish_model(file, network.clone())?;
                    }
                }
                Ok(())
            })?;
        }
        let Some(valid) = valid else { return Ok(None) };
        let mut scores = Vec::new();
        for (file, _, network) in networks {
            let score = self.evaluate_network(network, valid)?.score;
            let Score { loss, accuracy } = score;
            fit.say(|| {
                format!("norms    {file} after re-estimation: valid loss {loss:.4} accuracy {:.1}%", accuracy * 100.0)
            });
            scores.push(score);
        }
        let reestimated = Reestimated { last: scores[0], best: scores.get(1).copied() };
        if ranks.is_root() {
            sums::update(folder, || reestimated.publish(folder))?;
        }
        Ok(Some(reestimated))
    }

    /// Evaluates the network of the selected epoch on the test set. Without a selected epoch, evaluates the network of
    /// the last epoch.
    pub(super) fn test(&mut self, feed: &Feed, selected: Option<Selected>) -> Result<Evaluation> {
        let saved = match selected {
            Some(_) => Some(BEST),
            None => self.config.reestimate_norm.then_some(MODEL),
        };
        let evaluation = match saved {
            Some(file) => {
                let network = self.saved_network(file)?;
                self.evaluate_network(network, feed)?
            }
            None => self.evaluate(feed)?,
        };
        let evaluation = Evaluation { selected, ..evaluation };
        if !self.fit.backend.ranks.is_root() {
            return Ok(evaluation);
        }
        let file = self.fit.run.join(TEST);
        sums::update(&self.fit.run, || Ok(publish(&file, evaluation.json().as_bytes())?))?;
        if let Some(events) = &mut self.events {
            let epoch = selected.map_or(self.epochs.len() as u64, |selected| selected.epoch);
            events::append_test(events, epoch, &evaluation.score)?;
        }
        Ok(evaluation)
    }

    /// Evaluates `network` with the learner. Afterwards, the learner has its own network again.
    fn evaluate_network(&mut self, network: Network, feed: &Feed) -> Result<Evaluation> {
        let last = self.learner.state().clone();
        self.learner.restart(&TrainState { network, ..last.clone() })?;
        let evaluated = self.evaluate_as_is(feed);
        self.learner.restart(&last)?; // an interrupted run saves the state of its last epoch
        self.checked(evaluated)
    }

    /// Returns the network in the file `name` of the run. Rank 0 reads the file and sends the parameters to all ranks.
    fn saved_network(&self, name: &str) -> Result<Network> {
        let ranks = self.fit.backend.ranks;
        let mut network = match ranks.is_root() {
            true => saved_networks::read_network(&self.fit.run, &self.config, name)?.network,
            false => self.learner.state().network.clone(),
        };
        network.parameters.copy_from_root(ranks);
        Ok(network)
    }
}
