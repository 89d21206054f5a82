use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::seal::SealKey;
use lgsp_shared::timestamp::UnixSeconds;

use super::*;
use crate::registry::application::{Action, Decision, Request, Step, Submission};
use crate::store::Store;
use crate::store::registry::Write;
use crate::store::tests::on_both;

const APPLICATIONS: u64 = 40;

fn code() -> AgencyCode {
    "H61.1".parse().unwrap()
}

fn submission(number: u64) -> Submission {
    let request = Request {
        agency: code(),
        agency_name: None,
        system: format!("system-{number}").parse().unwrap(),
        system_title: "S".into(),
        purpose: "p".into(),
        services: Vec::new(),
        letter: "1".into(),
    };
    Submission { request, contacts: Vec::new() }
}

fn dissolution() -> Reorganisation {
    Reorganisation {
        number: 1,
        state: State::Applied,
        operation: Operation::Dissolve { code: code() },
        effective: UnixSeconds(10),
        alias_until: UnixSeconds(20),
        decision: Decision::new("why", "1/QĐ").unwrap(),
        author: "operator".into(),
        created_at: UnixSeconds(9),
        revision: None,
        error: None,
    }
}

/// Found by reading: a dissolution could fail for good on its day because somebody reviewed an application just then.
async fn a_dissolution_goes_on_while_applications_that_it_ends_are_decided(store: Store) {
    let step = |action| Step::new(action, "operator", UnixSeconds(5));
    store.import_agencies(&[(code(), "A".to_owned())], &trail(&dissolution())).await.unwrap();
    for number in 1..=APPLICATIONS {
        store.submit_application(&submission(number), &step(Action::Submit), &trail(&dissolution())).await.unwrap();
    }
    let reviewing = tokio::spawn({
        let store = store.clone();
        async move {
            for application in 1..=APPLICATIONS {
                let review = Write::Step { application, from: ApplicationState::Submitted, step: step(Action::Review) };
                store.write(&[review], &trail(&dissolution())).await.unwrap();
            }
        }
    });
    let key = SealKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").unwrap();
    let desired = Desired::load(store, key).await.unwrap();
    while !reviewing.is_finished() {
        carry_out(&desired, &dissolution(), Mode::DryRun, trail(&dissolution())).await.unwrap();
    }
    reviewing.await.unwrap();
}

on_both! { a_dissolution_goes_on_while_applications_that_it_ends_are_decided }
