"""scikit-learn's own tests of GridSearchCV, run against `search` where both have the same interface.

Each of the tests in `RUN` searches twice, by `search` and by GridSearchCV, which have to find the same. `LEFT_OUT` says
what `search` does not do, and which tests need it.
"""

import inspect

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.model_selection.tests import test_search as theirs
from sklearn.utils.validation import indexable

from networksecurity.training.candidates import Candidate
from networksecurity.training.search import search

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("default")]

RUN = """
test_grid_search_bad_param_grid test_grid_search_correct_score_results test_grid_search_cv_results
test_grid_search_error test_grid_search_one_grid_point
test_grid_search_precomputed_kernel_error_nonsquare test_grid_search_score_method test_n_features_in
test_predict_proba_disabled test_refit test_search_cv_results_rank_tie_breaking test_search_train_scores_set_to_false
""".split()

LEFT_OUT = {
    "the score is one of scikit-learn's scorers, by name: no score method of the estimator, no callable, no list": """
    test_callable_multimetric_clf_all_fits_fail test_callable_multimetric_confusion_matrix
    test_callable_multimetric_error_failing_clf test_callable_multimetric_error_on_invalid_key
    test_callable_multimetric_same_as_list_of_strings test_callable_single_metric_same_as_single_string
    test_classes__property test_grid_search test_grid_search_classifier_all_fits_fail
    test_grid_search_cv_results_multimetric test_grid_search_no_score test_grid_search_when_param_grid_includes_range
    test_no_refit test_pickle test_search_cv_results_none_param test_searchcv_raise_warning_with_non_finite_score
    test_trivial_cv_results_attr test_transform_inverse_transform_round_trip test_search_default_iid
    """,
    "the estimator is a candidate's classifier: no pipeline or estimator of the caller, no regressor, no clusterer": """
    test_cv_results_dtype_issue_29074 test_cv_results_multi_size_array test_grid_search_allows_nans
    test_grid_search_pipeline_steps test_grid_search_with_multioutput_data test_gridsearch_no_predict
    test_search_cv_score_samples_error test_search_cv_score_samples_method
    test_search_cv_using_minimal_compatible_estimator test_search_estimator_param test_search_html_repr
    test_search_with_2d_array test_search_with_estimators_issue_29157 test_unsupervised_grid_search
    """,
    "X is a frame of numbers, y is an array: no lists, sparse or nested arrays, kernels": """
    test_X_as_list test_array_api_search_cv_classifier test_grid_search_precomputed_kernel test_grid_search_sparse
    test_grid_search_sparse_scoring test_gridsearch_nd test_pandas_input
    test_search_cv__pairwise_property_delegated_to_base_estimator
    test_search_cv_pairwise_property_delegated_to_base_estimator
    test_search_cv_pairwise_property_equivalence_of_precomputed test_y_as_list
    """,
    "the folds are given row by row: no iterators, no groups": """
    test_empty_cv_iterator_error test_grid_search_cv_splits_consistency test_grid_search_groups
    """,
    "an error of a fit is NaN: it is not raised, and its score cannot be chosen": """
    test_grid_search_failing_classifier_raise test_search_callbacks_with_partial_fit_failures test_search_cv_timing
    """,
    "a fit takes X and y only: no weights, other parameters, metadata, callbacks": """
    test_SearchCV_with_fit_params test_multi_metric_search_forwards_metadata test_scalar_fit_param
    test_scalar_fit_param_compat test_score_rejects_params_with_no_routing_enabled
    test_search_callbacks_no_propagation test_search_callbacks_propagation test_search_callbacks_receive_sample_weight
    test_search_callbacks_receive_search_instance test_search_cv_sample_weight_equivalence
    test_unsupported_sample_weight_scorer
    """,
    "the best point is the one that ranks first": """
    test_refit_callable test_refit_callable_invalid_type test_refit_callable_multi_metric
    test_refit_callable_out_bound
    """,
    # A fit that fails among others is compared in test_search.
    "its classifier has nothing fitted, and a pipeline is not fitted either": "test_grid_search_failing_classifier",
    "fits are not printed": "test_search_cv_verbose_3",
    "its classifier has no random_state, and two searches differ": "test_stochastic_gradient_loss_param",
    "it is not about GridSearchCV": """
    test__custom_fit_no_run_search test_custom_run_search test_param_sampler test_parameter_grid
    test_parameters_sampler_replacement test_random_search_bad_cv test_random_search_cv_results
    test_random_search_cv_results_multimetric test_validate_parameter_input test_yield_masked_array_for_each_param
    test_yield_masked_array_no_runtime_warning
    """,
}


class Search(GridSearchCV):
    """GridSearchCV that searches by `search` too, and compares."""

    def fit(self, X, y):
        X, y = indexable(X, y)
        test_fold = np.full(len(y), -1)
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        for fold, (_, test) in enumerate(cv.split(X, y)):
            test_fold[test] = fold
        kind = type(self.estimator)
        params = self.estimator.get_params(deep=False)
        found = search(
            Candidate(kind.__name__, f"{kind.__module__}:{kind.__qualname__}", self.param_grid, cost=1, params=params),
            pd.DataFrame(X),
            y,
            test_fold,
            scoring=self.scoring or "accuracy",  # what the score method of a classifier of scikit-learn returns
            random_state=params.get("random_state"),
        )
        super().fit(X, y)
        assert [point.params for point in found.grid] == self.cv_results_["params"]
        for name in found.best.scores().keys() - {"mean_fit_time"}:
            ours, plain = np.array([point.scores()[name] for point in found.grid]), self.cv_results_[name]
            np.testing.assert_allclose(ours, plain, atol=1e-9)
            self.cv_results_[name] = ours.astype(plain.dtype)
        assert found.best == found.grid[self.best_index_]
        return self


@pytest.fixture(autouse=True)
def _search_takes_the_place_of_grid_search_cv(monkeypatch):
    monkeypatch.setattr(theirs, "GridSearchCV", Search)


for _name in RUN:
    globals()[_name] = getattr(theirs, _name)


def test_each_of_their_tests_is_run_or_left_out_for_a_reason():
    known = [*RUN, *(name for names in LEFT_OUT.values() for name in names.split())]
    assert len(known) == len(set(known))
    assert set(known) == {name for name, _ in inspect.getmembers(theirs, callable) if name.startswith("test_")}
