//! What the kernel can do by itself, or cannot, and why.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::options::FsOptions;

/// Something that makes a mount faster where the kernel can do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// To read large records by itself.
    Passthrough,
    /// To write past its own cache.
    DirectWrites,
}

/// Why the kernel does not do what it might; nothing as long as it does.
#[derive(Debug, Default)]
pub(super) struct Abilities {
    no_passthrough: OnceLock<String>,
    no_direct_writes: OnceLock<String>,
}

impl Abilities {
    /// What the options leave to the kernel.
    pub(super) fn of(options: &FsOptions) -> Self {
        let abilities = Self::default();
        let reason = match options {
            FsOptions { passthrough: false, .. } => Some("the mount was told not to let it"),
            FsOptions { read_only: true, .. } => {
                Some("it would note a time of access in the source")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            let _ = abilities.no_passthrough.set(reason.to_owned());
        }
        abilities
    }

    fn lack(&self, ability: Ability) -> &OnceLock<String> {
        match ability {
            Ability::Passthrough => &self.no_passthrough,
            Ability::DirectWrites => &self.no_direct_writes,
        }
    }

    pub(super) fn has(&self, ability: Ability) -> bool {
        self.lack(ability).get().is_none()
    }

    /// Notes a reason, and logs the first one.
    pub(super) fn note_lack(&self, ability: Ability, reason: &str) {
        if self.lack(ability).set(reason.to_owned()).is_err() {
            return;
        }
        let consequence = match ability {
            Ability::Passthrough => "large records are read through the daemon",
            Ability::DirectWrites => "what is being written goes through the kernel's cache",
        };
        log::info!("{consequence}: {reason}");
    }

    /// What `@status` says of the kernel.
    pub(super) fn status(&self) -> Value {
        json!({
            "passthrough": self.has(Ability::Passthrough),
            "direct_writes": self.has(Ability::DirectWrites),
            "reasons": {
                "passthrough": self.no_passthrough.get(),
                "direct_writes": self.no_direct_writes.get(),
            },
        })
    }
}
