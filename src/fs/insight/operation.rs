//! The operations that requests ask for.

macro_rules! operations {
    ($($operation:ident = $name:literal,)+) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // Each is called as the kernel calls it.
        pub enum Operation {
            $($operation,)+
        }

        impl Operation {
            /// All of them, in the order of their numbers.
            pub(super) const ALL: &[Self] = &[$(Self::$operation),+];

            /// What it is called in the log, in `@log` and in `@status`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name,)+
                }
            }
        }
    };
}

operations! {
    Lookup = "lookup",
    Forget = "forget",
    Getattr = "getattr",
    Setattr = "setattr",
    Mknod = "mknod",
    Mkdir = "mkdir",
    Unlink = "unlink",
    Rmdir = "rmdir",
    Symlink = "symlink",
    Rename = "rename",
    Link = "link",
    Open = "open",
    Create = "create",
    Read = "read",
    Write = "write",
    Flush = "flush",
    Release = "release",
    Fsync = "fsync",
    Opendir = "opendir",
    Readdir = "readdir",
    Readdirplus = "readdirplus",
    Releasedir = "releasedir",
    Fsyncdir = "fsyncdir",
    Statfs = "statfs",
    Setxattr = "setxattr",
    Getxattr = "getxattr",
    Listxattr = "listxattr",
    Removexattr = "removexattr",
    Fallocate = "fallocate",
    Getlk = "getlk",
    Setlk = "setlk",
    Lseek = "lseek",
}

impl Operation {
    /// Whether it changes what a name stands for.
    pub(in crate::fs) fn changes_names(self) -> bool {
        matches!(
            self,
            Self::Mknod
                | Self::Mkdir
                | Self::Unlink
                | Self::Rmdir
                | Self::Symlink
                | Self::Rename
                | Self::Link
                | Self::Create
        )
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
