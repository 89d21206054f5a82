use super::super::{Role, totp};
use super::*;
use crate::store::tests::on_both;
use lgsp_shared::seal::SealKey;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const START: i64 = 1_700_000_000;

fn trail(at: i64) -> Trail {
    let here = std::net::Ipv4Addr::LOCALHOST.into();
    Trail::new(UnixSeconds(at), here, "POST /v1/login".into(), String::new())
}

fn password(text: &str) -> Password {
    Password::from(text.to_owned())
}

/// Accounts with one operator, `lan`, whose password is `sông Hậu chảy chậm`.
async fn accounts(store: &Store) -> Accounts {
    let key = SealKey::parse(KEY).unwrap();
    let accounts = Accounts::new(store.clone(), key, LoginSettings::default()).unwrap();
    let mut row = OperatorRow::new("lan".parse().unwrap(), [Role::Observer].into(), None, UnixSeconds(START));
    row.password = Some(accounts.hasher.hash(password("sông Hậu chảy chậm")).await.unwrap());
    assert!(store.add_operator(&row, &trail(START)).await.unwrap());
    accounts
}

async fn login(accounts: &Accounts, at: i64, text: &str, code: Option<&str>) -> Result<Begun, AccountError> {
    accounts.login("lan", password(text), code, &trail(at)).await
}

async fn known(accounts: &Accounts, begun: &Begun, at: i64) -> Known {
    accounts.authenticate(&begun.token, UnixSeconds(at)).await.unwrap().unwrap()
}

async fn a_reader_is_let_in_while_a_writer_holds_the_database(store: Store) {
    let accounts = accounts(&store).await;
    let begun = login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap();
    let held = store.overwrite().await.unwrap();
    let later = UnixSeconds(START + 120);
    assert!(accounts.authenticate(&begun.token, later).await.unwrap().is_some(), "its last use is due to be written");
    drop(held);
}

async fn a_session_ends_when_it_is_old_idle_or_logged_out(store: Store) {
    let accounts = accounts(&store).await;
    let begun = login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap();
    let alive = async |at| accounts.authenticate(&begun.token, UnixSeconds(at)).await.unwrap().is_some();
    assert!(alive(START + 3_000).await);
    assert!(alive(START + 3_000 + 3_600).await, "its use was written");
    assert!(!alive(START + 3_000 + 3_600 + 3_661).await, "idle for more than an hour");
    let begun = login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap();
    for hours in 1..12 {
        assert!(accounts.authenticate(&begun.token, UnixSeconds(START + hours * 3_600)).await.unwrap().is_some());
    }
    assert!(accounts.authenticate(&begun.token, UnixSeconds(START + 12 * 3_600)).await.unwrap().is_none());
    let begun = login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap();
    let session = known(&accounts, &begun, START).await;
    accounts.logout(&session.bearer, &trail(START)).await.unwrap();
    assert!(accounts.authenticate(&begun.token, UnixSeconds(START)).await.unwrap().is_none());
}

fn trail_from(at: i64, source: &str) -> Trail {
    Trail::new(UnixSeconds(at), source.parse().unwrap(), "POST /v1/login".into(), String::new())
}

async fn guessing_waits_longer_and_longer_and_even_the_right_password_does(store: Store) {
    let accounts = accounts(&store).await;
    for _ in 0..5 {
        assert!(matches!(login(&accounts, START, "guess", None).await, Err(AccountError::Refused)));
    }
    let right = async |at| login(&accounts, at, "sông Hậu chảy chậm", None).await;
    assert!(matches!(right(START + 29).await, Err(AccountError::Refused)), "five failures wait 30 s");
    assert!(matches!(login(&accounts, START + 30, "guess", None).await, Err(AccountError::Refused)));
    assert!(matches!(right(START + 89).await, Err(AccountError::Refused)), "a sixth waits 60 s");
    assert!(right(START + 90).await.is_ok());
    assert!(matches!(login(&accounts, START + 90, "guess", None).await, Err(AccountError::Refused)));
    assert!(right(START + 90).await.is_ok(), "a login forgets the failures before it");
    assert_eq!((wait_secs(4), wait_secs(5), wait_secs(7), wait_secs(u32::MAX)), (0, 30, 120, 900));
}

/// Found by trying: a stranger who guessed four times a second kept an operator out for as long as he liked.
async fn who_guesses_elsewhere_locks_out_neither_a_login_nor_a_session(store: Store) {
    let accounts = accounts(&store).await;
    let session = known(&accounts, &login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap(), START).await;
    let guess = async |source: &str| {
        accounts.login("lan", password("guess"), None, &trail_from(START, source)).await.unwrap_err()
    };
    for _ in 0..30 {
        assert!(matches!(guess("192.0.2.9").await, AccountError::Refused));
    }
    let name: ResourceName = "lan".parse().unwrap();
    let counted = async |name: &ResourceName, source: &str| {
        store.count_login(Some(name), source, UnixSeconds(START + 1), wait_secs).await.unwrap()
    };
    assert!(!counted(&name, "192.0.2.9").await.open, "the source that guesses waits");
    let own = counted(&name, "198.51.100.1").await;
    assert!(own.open && !own.slowed, "and no other does");
    assert!(login(&accounts, START, "sông Hậu chảy chậm", None).await.is_ok());
    for source in 0..5 {
        for _ in 0..5 {
            counted(&name, &format!("203.0.113.{source}")).await;
        }
    }
    let slowed = counted(&name, "198.51.100.2").await;
    assert!(slowed.open && slowed.slowed, "many sources slow a login down and keep nobody out");
    let (old, new) = (password("sông Hậu chảy chậm"), password("gió mùa đông bắc"));
    accounts.change_password(&session, old, new, &trail_from(START, "192.0.2.9")).await.unwrap();
}

/// Found by reading: a login with a known name was written down, one with an unknown name was not.
async fn an_unknown_name_is_counted_as_a_known_one_is(store: Store) {
    let accounts = accounts(&store).await;
    let wrong = async |name: &str| {
        for _ in 0..6 {
            let refused = accounts.login(name, password("guess"), None, &trail(START)).await;
            assert!(matches!(refused, Err(AccountError::Refused)), "{name}");
        }
        let row = sqlx::query("SELECT failures, wait_until FROM login_attempt WHERE name = $1").bind(name);
        let row = row.fetch_one(store.pool_of_tests()).await.unwrap();
        (sqlx::Row::get::<i64, _>(&row, "failures"), sqlx::Row::get::<i64, _>(&row, "wait_until"))
    };
    assert_eq!(wrong("lan").await, (5, START + 30));
    assert_eq!(wrong("nobody").await, (5, START + 30));
}

async fn guesses_at_one_instant_are_counted_one_by_one(store: Store) {
    let accounts = accounts(&store).await;
    let guesses: Vec<_> = (0..12)
        .map(|_| {
            let accounts = accounts.clone();
            tokio::spawn(async move { login(&accounts, START, "guess", None).await.is_err() })
        })
        .collect();
    for guess in guesses {
        assert!(guess.await.unwrap());
    }
    let right = async |at| login(&accounts, at, "sông Hậu chảy chậm", None).await.is_ok();
    assert!(!right(START + 29).await, "five were counted");
    assert!(right(START + 30).await, "and later ones were not even compared");
}

async fn codes_that_confirm_a_second_factor_are_not_guessed(store: Store) {
    let accounts = accounts(&store).await;
    let session = known(&accounts, &login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap(), START).await;
    accounts.enrol_factor(&session, password("sông Hậu chảy chậm"), &trail(START)).await.unwrap();
    let sealed = store.sealed_factors().await.unwrap().remove(0).1;
    let key = accounts.keys.load().open(&serde_json::from_str(&sealed).unwrap(), "operator-second-factor/lan").unwrap();
    let code = |at| totp::code(key.expose(), totp::Step::at(UnixSeconds(at)));
    let right = code(START);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        assert!(accounts.confirm_factor(&session, wrong, &trail(START)).await.is_err());
    }
    let late = accounts.confirm_factor(&session, &right, &trail(START + 1)).await;
    assert!(matches!(late, Err(AccountError::Refused)), "after five wrong codes the right one waits too");
    let row = store.operator(&"lan".parse().unwrap()).await.unwrap().unwrap();
    assert!(matches!(accounts.factor_of(&row, None, &trail(START)).await, Ok(Factor::NotAsked)), "not confirmed");
    accounts.confirm_factor(&session, &code(START + 30), &trail(START + 30)).await.unwrap();
    let row = store.operator(&"lan".parse().unwrap()).await.unwrap().unwrap();
    let vouched = accounts.factor_of(&row, None, &trail(START)).await;
    assert!(matches!(vouched, Err(AccountError::CodeNeeded)), "asked for, whoever vouched for the identity");
}

async fn what_is_revoked_is_worth_nothing_at_once(store: Store) {
    let accounts = accounts(&store).await;
    let begun = login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap();
    assert!(known(&accounts, &begun, START).await.operator.roles().contains(&Role::Observer));
    let name: ResourceName = "lan".parse().unwrap();
    let edit = async |change: fn(&mut OperatorRow)| {
        let edit = move |row: &mut OperatorRow| {
            change(row);
            Ok::<_, StoreError>(Also::default())
        };
        store.change_operator(&name, &trail(START), edit).await.unwrap().unwrap();
    };
    edit(|row| row.roles.clear()).await;
    assert!(known(&accounts, &begun, START).await.operator.roles().is_empty());
    edit(|row| row.disabled = true).await;
    assert!(accounts.authenticate(&begun.token, UnixSeconds(START)).await.unwrap().is_none());
    assert!(matches!(login(&accounts, START, "sông Hậu chảy chậm", None).await, Err(AccountError::Refused)));
}

async fn a_second_factor_is_asked_for_once_confirmed_and_each_code_is_good_once(store: Store) {
    let accounts = accounts(&store).await;
    let begun = login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap();
    let session = known(&accounts, &begun, START).await;
    let wrong = accounts.enrol_factor(&session, password("guess"), &trail(START)).await;
    assert!(matches!(wrong, Err(AccountError::Refused)));
    let enrolment = accounts.enrol_factor(&session, password("sông Hậu chảy chậm"), &trail(START)).await.unwrap();
    assert!(enrolment.uri.starts_with("otpauth://totp/LGSP:lan?secret="), "{}", enrolment.uri);
    let row = store.operator(&"lan".parse().unwrap()).await.unwrap().unwrap();
    let sealed = serde_json::from_str(row.totp.as_deref().unwrap()).unwrap();
    let key = accounts.keys.load().open(&sealed, "operator-second-factor/lan").unwrap();
    assert_eq!(totp::base32(key.expose()), enrolment.key);
    let code = |at| totp::code(key.expose(), totp::Step::at(UnixSeconds(at)));
    assert!(login(&accounts, START, "sông Hậu chảy chậm", None).await.is_ok(), "not confirmed yet");
    assert!(accounts.confirm_factor(&session, "000000", &trail(START)).await.is_err());
    let codes = accounts.confirm_factor(&session, &code(START), &trail(START)).await.unwrap();
    assert_eq!(codes.len(), 10);

    let try_with = async |at, code: Option<&str>| login(&accounts, at, "sông Hậu chảy chậm", code).await;
    assert!(matches!(try_with(START, None).await, Err(AccountError::CodeNeeded)));
    assert!(matches!(try_with(START, Some(&code(START))).await, Err(AccountError::Refused)), "used to confirm");
    let later = START + 60;
    assert!(try_with(later, Some(&code(later))).await.is_ok());
    assert!(matches!(try_with(later, Some(&code(later))).await, Err(AccountError::Refused)), "used to log in");
    let typed = codes[3].to_lowercase().replace('-', " ");
    assert!(try_with(later, Some(&typed)).await.is_ok());
    assert!(matches!(try_with(later, Some(&typed)).await, Err(AccountError::Refused)), "a recovery code is good once");
    assert!(matches!(login(&accounts, later, "guess", Some(&codes[4])).await, Err(AccountError::Refused)));

    let far = later + 3_600;
    let session = known(&accounts, &try_with(far, Some(&codes[4])).await.unwrap(), far).await;
    accounts.remove_factor(&session, password("sông Hậu chảy chậm"), &code(far), &trail(far)).await.unwrap();
    assert!(try_with(far, None).await.is_ok());
}

async fn a_second_factor_is_sealed_under_the_next_key_and_goes_on(store: Store) {
    let before = accounts(&store).await;
    let begun = login(&before, START, "sông Hậu chảy chậm", None).await.unwrap();
    let session = known(&before, &begun, START).await;
    before.enrol_factor(&session, password("sông Hậu chảy chậm"), &trail(START)).await.unwrap();
    let sealed = store.sealed_factors().await.unwrap().remove(0).1;
    let key = before.keys.load().open(&serde_json::from_str(&sealed).unwrap(), "operator-second-factor/lan").unwrap();
    let code = |at| totp::code(key.expose(), totp::Step::at(UnixSeconds(at)));
    before.confirm_factor(&session, &code(START), &trail(START)).await.unwrap();

    let next = KEY.replace("00", "ff");
    let with = |keys: &str| {
        Accounts::new(store.clone(), lgsp_shared::seal::SealKeys::parse(keys).unwrap(), LoginSettings::default())
            .unwrap()
    };
    let both = with(&format!("{next}\n{KEY}"));
    assert_eq!(both.reseal_factors().await.unwrap(), 1);
    assert_eq!(both.reseal_factors().await.unwrap(), 0, "nothing is left under the old key");
    let later = START + 60;
    let log_in = async |accounts: &Accounts| login(accounts, later, "sông Hậu chảy chậm", Some(&code(later))).await;
    assert!(log_in(&with(KEY)).await.is_err(), "the old key opens it no more");
    assert!(log_in(&with(&next)).await.is_ok(), "the new one does, and the authenticator is the same");
}

async fn a_new_password_needs_the_old_one_and_ends_other_sessions(store: Store) {
    let accounts = accounts(&store).await;
    let (one, other) = (
        login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap(),
        login(&accounts, START, "sông Hậu chảy chậm", None).await.unwrap(),
    );
    let session = known(&accounts, &one, START).await;
    let change = async |old: &str, new: &str| {
        accounts.change_password(&session, password(old), password(new), &trail(START)).await
    };
    assert!(matches!(change("guess", "gió mùa đông bắc").await, Err(AccountError::Refused)));
    assert!(matches!(change("sông Hậu chảy chậm", "short").await, Err(AccountError::Weak(_))));
    change("sông Hậu chảy chậm", "gió mùa đông bắc").await.unwrap();
    assert!(accounts.authenticate(&one.token, UnixSeconds(START)).await.unwrap().is_some());
    assert!(accounts.authenticate(&other.token, UnixSeconds(START)).await.unwrap().is_none());
    assert!(login(&accounts, START, "sông Hậu chảy chậm", None).await.is_err());
    assert!(login(&accounts, START, "gió mùa đông bắc", None).await.is_ok());
}

async fn sessions_of_one_operator_are_bounded_and_the_oldest_goes(store: Store) {
    let accounts = accounts(&store).await;
    let row = store.operator(&"lan".parse().unwrap()).await.unwrap().unwrap();
    let mut tokens = Vec::new();
    for at in 0..=crate::store::BEARERS_MAX {
        tokens.push(accounts.begin(&row, Factor::NotAsked, None, &trail(START + at)).await.unwrap().token);
    }
    let alive = async |token: &str| accounts.authenticate(token, UnixSeconds(START + 60)).await.unwrap().is_some();
    assert!(!alive(&tokens[0]).await && alive(&tokens[1]).await && alive(tokens.last().unwrap()).await);
}

on_both![
    a_session_ends_when_it_is_old_idle_or_logged_out,
    a_reader_is_let_in_while_a_writer_holds_the_database,
    guessing_waits_longer_and_longer_and_even_the_right_password_does,
    guesses_at_one_instant_are_counted_one_by_one,
    who_guesses_elsewhere_locks_out_neither_a_login_nor_a_session,
    an_unknown_name_is_counted_as_a_known_one_is,
    codes_that_confirm_a_second_factor_are_not_guessed,
    what_is_revoked_is_worth_nothing_at_once,
    a_second_factor_is_asked_for_once_confirmed_and_each_code_is_good_once,
    a_second_factor_is_sealed_under_the_next_key_and_goes_on,
    a_new_password_needs_the_old_one_and_ends_other_sessions,
    sessions_of_one_operator_are_bounded_and_the_oldest_goes,
];

#[test]
fn a_token_is_never_worth_more_than_its_operator_is_now() {
    let mut row =
        OperatorRow::new("lan".parse().unwrap(), [Role::Observer, Role::Auditor].into(), None, UnixSeconds(1));
    let terms = Terms {
        kind: BearerKind::Token,
        operator: row.name.clone(),
        title: "t".into(),
        roles: Some([Role::Auditor, Role::SecurityOfficer].into()),
        agency: Some("so-tu-phap".parse().unwrap()),
        expires_at: None,
        idle_secs: None,
    };
    let (_, bearer) = terms.draw(UnixSeconds(1)).unwrap();
    let worth = standing(&row, &bearer).unwrap();
    assert_eq!(worth, Operator::new("lan", [Role::Auditor], Some("so-tu-phap".parse().unwrap())));
    row.agency = Some("so-y-te".parse().unwrap());
    assert_eq!(standing(&row, &bearer), None, "bound to another agency since");
    row.agency = None;
    row.disabled = true;
    assert_eq!(standing(&row, &bearer), None);
}
