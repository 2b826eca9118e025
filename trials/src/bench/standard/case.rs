//! The cases: which load, and what must be reached.

use client::bench::mix::Operation;

use crate::bench::Bound;

const KIBIBYTE: u64 = 1 << 10;
const MEBIBYTE: u64 = 1 << 20;

/// One load, and its goal.
#[derive(Debug)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    pub(super) work: Work,
    pub(super) size: u64,
    pub(super) concurrency: usize,
    pub(super) files: usize,
    /// The contents that are read or deleted.
    pub(super) contents: u64,
    pub(super) unit: Unit,
    pub(super) goal: Goal,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Upload,
    Get,
    Delete,
    Metadata,
    List,
}

/// In what the rate is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Contents,
    Requests,
    Megabytes,
}

/// What must be reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    /// This share of nginx's rate.
    OfNginx(f64),
    /// This rate.
    Rate(f64),
    /// 5,000 a second, or less where a sync and a commit take their time.
    RateOfProbes,
    /// The rate of another case, as good as: so much of it.
    OfCase(&'static str, f64),
    /// Of latencies in milliseconds, 99 % below this.
    P99(f64),
}

/// A rate that is called the same as another one: rounds differ by more than this.
const AS_GOOD_AS: f64 = 0.95;

/// What most cases have in common.
const BASE: Case = Case {
    name: "",
    title: "",
    work: Work::Upload,
    size: KIBIBYTE,
    concurrency: 16,
    files: 1,
    contents: 10_000,
    unit: Unit::Contents,
    goal: Goal::RateOfProbes,
};

/// A read of 64 MiB: there are few of them, so that the page cache holds all.
const LARGE_GET: Case = Case {
    work: Work::Get,
    size: 64 * MEBIBYTE,
    contents: 8,
    unit: Unit::Megabytes,
    goal: Goal::OfNginx(0.3),
    ..BASE
};

/// An upload of 64 MiB.
const LARGE_UPLOAD: Case = Case {
    size: 64 * MEBIBYTE,
    unit: Unit::Megabytes,
    goal: Goal::Rate(250.0),
    ..BASE
};

/// The standard set.
pub static CASES: [Case; 16] = [
    Case {
        name: "get-1k",
        title: "GET 1 KiB, 16 connections, at random of 10,000",
        work: Work::Get,
        goal: Goal::OfNginx(0.5),
        ..BASE
    },
    Case {
        name: "get-1k-1024",
        title: "GET 1 KiB, 1,024 connections",
        work: Work::Get,
        concurrency: 1024,
        goal: Goal::OfCase("get-1k", AS_GOOD_AS),
        ..BASE
    },
    Case {
        name: "get-64k",
        title: "GET 64 KiB, 16 connections, at random of 5,000",
        work: Work::Get,
        size: 64 * KIBIBYTE,
        contents: 5_000,
        goal: Goal::OfNginx(0.4),
        ..BASE
    },
    Case {
        name: "get-64m-1",
        title: "GET 64 MiB, 1 connection",
        concurrency: 1,
        ..LARGE_GET
    },
    Case {
        name: "get-64m-4",
        title: "GET 64 MiB, 4 connections",
        concurrency: 4,
        ..LARGE_GET
    },
    Case {
        name: "put-1k-64",
        title: "upload 1 KiB, 64 in parallel, listed",
        concurrency: 64,
        goal: Goal::Rate(10_000.0),
        ..BASE
    },
    Case {
        name: "put-1k-16",
        title: "upload 1 KiB, 16 in parallel, listed",
        ..BASE
    },
    Case {
        name: "put-1k-1024",
        title: "upload 1 KiB, 1,024 in parallel, listed",
        concurrency: 1024,
        goal: Goal::OfCase("put-1k-16", AS_GOOD_AS),
        ..BASE
    },
    Case {
        name: "put-1k-form",
        title: "upload 1 KiB, 32 files a request, 4 connections",
        concurrency: 4,
        files: 32,
        goal: Goal::Rate(30_000.0),
        ..BASE
    },
    Case {
        name: "put-64k",
        title: "upload 64 KiB, 16 in parallel",
        size: 64 * KIBIBYTE,
        goal: Goal::Rate(2_000.0),
        ..BASE
    },
    Case {
        name: "put-64m-1",
        title: "upload 64 MiB, 1 in parallel",
        concurrency: 1,
        ..LARGE_UPLOAD
    },
    Case {
        name: "put-64m-4",
        title: "upload 64 MiB, 4 in parallel",
        concurrency: 4,
        ..LARGE_UPLOAD
    },
    Case {
        name: "metadata",
        title: "GET /content/{id} at the distributor, 64 connections",
        work: Work::Metadata,
        concurrency: 64,
        goal: Goal::Rate(20_000.0),
        ..BASE
    },
    Case {
        name: "delete",
        title: "delete 1 KiB, 64 in parallel",
        work: Work::Delete,
        concurrency: 64,
        contents: 40_000,
        goal: Goal::Rate(10_000.0),
        ..BASE
    },
    Case {
        name: "list",
        title: "GET /content, pages of 1,000, 4 connections",
        work: Work::List,
        concurrency: 4,
        unit: Unit::Requests,
        goal: Goal::P99(50.0),
        ..BASE
    },
    Case {
        name: "put-1k-1",
        title: "upload 1 KiB, one after the other",
        concurrency: 1,
        goal: Goal::Rate(0.0),
        ..BASE
    },
];

impl Case {
    pub(super) fn operation(&self) -> Operation {
        match self.work {
            Work::Upload => Operation::Upload,
            Work::Get => Operation::Get,
            Work::Delete => Operation::Delete,
            Work::Metadata => Operation::Metadata,
            Work::List => Operation::List,
        }
    }

    /// Whether a round leaves gigabytes behind.
    pub(super) fn leaves_much(&self) -> bool {
        self.work == Work::Upload && self.size >= 64 << 10
    }

    /// nginx has no catalog, and takes no forms.
    pub(super) fn is_beside_nginx(&self) -> bool {
        self.files == 1 && !matches!(self.work, Work::Metadata | Work::List)
    }
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Unit::Contents | Unit::Requests => "/s",
            Unit::Megabytes => "MB/s",
        }
    }
}

impl Goal {
    /// What the rate must reach, given nginx's, the probes', and those of the cases before; none
    /// where what it is compared with was not measured.
    pub(super) fn bound(
        self,
        nginx: Option<f64>,
        of_probes: f64,
        of_case: impl Fn(&str) -> Option<f64>,
    ) -> Option<Bound> {
        match self {
            Goal::OfNginx(share) => nginx.map(|rate| Bound::AtLeast(share * rate)),
            Goal::Rate(0.0) => None,
            Goal::Rate(rate) => Some(Bound::AtLeast(rate)),
            Goal::RateOfProbes => Some(Bound::AtLeast(of_probes)),
            Goal::OfCase(name, share) => of_case(name).map(|rate| Bound::AtLeast(share * rate)),
            Goal::P99(ms) => Some(Bound::AtMost(ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a case cannot be asked for, or is compared with one that comes after it.
    #[test]
    fn names_are_unique_and_goals_look_back() {
        for (place, case) in CASES.iter().enumerate() {
            assert!(CASES[..place].iter().all(|before| before.name != case.name));
            if let Goal::OfCase(name, _) = case.goal {
                assert!(
                    CASES[..place].iter().any(|before| before.name == name),
                    "{name}"
                );
            }
            if let Goal::OfNginx(_) = case.goal {
                assert!(case.is_beside_nginx());
            }
        }
    }

    // If this fails, a rate is compared with another bound than the one that is written down.
    #[test]
    fn bounds_follow_from_goals() {
        let bound = |goal: Goal| goal.bound(Some(100.0), 7.0, |name| (name == "x").then_some(50.0));
        assert!(matches!(
            bound(Goal::OfNginx(0.5)),
            Some(Bound::AtLeast(50.0))
        ));
        assert!(matches!(
            bound(Goal::RateOfProbes),
            Some(Bound::AtLeast(7.0))
        ));
        assert!(matches!(
            bound(Goal::OfCase("x", 0.5)),
            Some(Bound::AtLeast(25.0))
        ));
        assert!(bound(Goal::OfCase("y", 0.5)).is_none() && bound(Goal::Rate(0.0)).is_none());
        assert!(matches!(bound(Goal::P99(50.0)), Some(Bound::AtMost(50.0))));
    }
}
