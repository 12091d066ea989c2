//! What is ended by the notes of an earlier instance, and what is not.

use super::*;

#[test]
fn notes_are_read_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("processes"), "ab").unwrap();
    ledger.began(7, Leader { pid: 41, start: 99 }, Path::new("/a program/with spaces"));
    let text = fs::read_to_string(ledger.file(7)).unwrap();
    let Line::Entry(leader, program) = read(&text) else { panic!("{text}") };
    assert_eq!(leader, Leader { pid: 41, start: 99 });
    assert_eq!(program, "/a program/with spaces");
    ledger.over(7);
    assert!(!ledger.file(7).exists());
    assert!(matches!(read(""), Line::Empty));
    for nonsense in ["x", "1 2", "-1 2 a", "1 x a"] {
        assert!(matches!(read(nonsense), Line::Nonsense), "{nonsense}");
    }
}

#[test]
fn a_process_is_known_by_its_start_and_by_what_it_runs() {
    let own = process::of(std::process::id()).unwrap();
    let program = std::env::args().next().unwrap();
    let leader = Leader { pid: own.pid, start: own.start };
    assert!(is_there(leader, "no such mark:", &program));
    assert!(!is_there(leader, "no such mark:", "/another/program"));
    let reused = Leader { start: own.start - 1, ..leader };
    assert!(!is_there(reused, "no such mark:", &program), "an earlier process of the same id");
}

#[test]
fn notes_that_make_no_sense_are_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("processes");
    for (file, text) in [("3", "nonsense"), (INSTANCE, "half")] {
        drop(Ledger::open(&directory, "ab").unwrap());
        fs::write(directory.join(file), text).unwrap();
        let _ledger = Ledger::open(&directory, "cd").unwrap();
        let aside = folder.path().join("processes.damaged");
        assert_eq!(fs::read_to_string(aside.join(file)).unwrap(), text);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "only whose it is");
    }
}
