"""Hospital logs: bad rows named, good ones kept only if asked for."""

import numpy as np
import pytest

from o2o_research.data.hospital import (
    appointment_arrays,
    rating_arrays,
    read_appointments,
    read_ratings,
    read_registrations,
    read_visits,
    registration_arrays,
    visit_arrays,
)
from o2o_research.errors import DataError
from o2o_research.models.calibration import VisitLog
from o2o_research.models.scalping import Registrations, count_accounts

VISITS = """patient,station,arrived_at,started_at,ended_at
A,registration,2014-05-28 08:00,2014-05-28 08:10,2014-05-28 08:12
A,consulting,2014-05-28 08:15,2014-05-28 08:40,2014-05-28 08:30
B,casino,2014-05-28 08:01,2014-05-28 08:12,2014-05-28 08:14
,registration,2014-05-28 08:02,2014-05-28 08:14,2014-05-28 08:16
B,consulting,2014-05-28 08:20,2014-05-28 08:46,2014-05-28 08:52
"""

REGISTRATIONS = """account,patient,doctor,released_at,booked_at,visit_at,cancelled_at,device
u1,p1,d1,2014-05-21 07:00:00,2014-05-21 07:00:03,2014-05-28 08:00:00,2014-05-22 10:00:00,m1
u1,p2,d1,2014-05-21 07:00:00,2014-05-22 10:00:05,2014-05-28 08:00:00,,m1
u2,,d1,2014-05-21 07:00:00,2014-05-21 08:00:00,2014-05-28 08:10:00,,m2
u3,p4,d2,2014-05-21 07:00:00,2014-05-21 06:00:00,2014-05-28 08:20:00,,
u4,p5,d2,2014-05-21 07:00:00,2014-05-21 09:00:00,2014-05-28 08:20:00,,
"""


@pytest.fixture
def visits(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text(VISITS, "utf-8")
    return path


@pytest.fixture
def registrations(tmp_path):
    path = tmp_path / "registrations.csv"
    path.write_text(REGISTRATIONS, "utf-8")
    return path


def test_bad_visits_are_reported_by_row(visits):
    with pytest.raises(DataError) as caught:
        read_visits(visits, stations=("registration", "consulting"))
    text = str(caught.value)
    assert text.split("\n") == [
        "visits.csv: patient, row 5: is empty; it must be known",
        "visits.csv: station, row 4: 'casino' is not one of registration, consulting",
        "visits.csv: ended_at, row 3: '2014-05-28 08:30' is earlier than started_at",
    ]


def test_good_visits_are_kept_only_if_asked_for(visits):
    log = read_visits(visits, stations=("registration", "consulting"), keep_good=True)
    assert log.frame["patient"].tolist() == ["A", "B"]
    assert len(log.left_out) == 3
    arrays, stations, patients = visit_arrays(log.frame)
    recorded = VisitLog(**arrays)
    assert stations == ["registration", "consulting"]
    assert patients == ["A", "B"]
    np.testing.assert_allclose(recorded.started - recorded.arrived, [10, 26])


def test_account_without_a_patient_is_reported_by_row(registrations):
    with pytest.raises(DataError) as caught:
        read_registrations(registrations)
    text = str(caught.value)
    assert text.split("\n") == [
        "registrations.csv: patient, row 4: is empty; it must be known",
        "registrations.csv: booked_at, row 5: '2014-05-21 06:00:00' is earlier than released_at",
    ]


def test_good_registrations_are_scored(registrations):
    log = read_registrations(registrations, keep_good=True)
    counted = count_accounts(Registrations(**registration_arrays(log.frame)))
    assert counted["rebooked"].tolist() == [1, 0]
    assert counted["fast"].tolist() == [1, 0]


def test_log_without_a_good_row_is_refused(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text(VISITS.splitlines()[0] + "\n" + VISITS.splitlines()[4] + "\n", "utf-8")
    with pytest.raises(DataError, match="no good visit is left"):
        read_visits(path, keep_good=True)


def test_appointments_become_days_ahead_and_who_missed(tmp_path):
    path = tmp_path / "appointments.csv"
    path.write_text(
        "doctor,booked_on,visit_on,came\n,2014-05-21 10:00,2014-05-28 08:00,0\n"
        "d1,2014-05-27,2014-05-27,1\nd1,2014-05-29,2014-05-28,1\n",
        "utf-8",
    )
    with pytest.raises(DataError, match="visit_on, row 4: '2014-05-28' is earlier than booked_on"):
        read_appointments(path)
    log = read_appointments(path, keep_good=True)
    assert len(log.left_out) == 1
    arrays = appointment_arrays(log.frame)
    assert arrays["lead_days"].tolist() == [0, 7]
    assert arrays["visit_day"].tolist() == [0, 1]
    assert arrays["missed"].tolist() == [False, True]


def test_ratings_become_bad_good_and_silent(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(
        "doctor,patient,rates_first,patient_rating,doctor_rating,age\n"
        "d1,p1,sealed,5,,30\nd2,p1,patient,1,2,61\nd1,p2,doctor,,4,44\n",
        "utf-8",
    )
    arrays = rating_arrays(read_ratings(path).frame)
    assert arrays["order"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(arrays["patient_bad"], [0, 1, np.nan])
    np.testing.assert_array_equal(arrays["doctor_bad"], [np.nan, 1, 0])
    assert arrays["knowns"].tolist() == [[30], [61], [44]]
