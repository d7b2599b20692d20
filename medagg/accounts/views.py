"""The pages of accounts. Password change and sign-out are Django's views with our templates."""

import logging
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth import views as auth
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import RedirectURLMixin
from django.forms import Form
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView, TemplateView

from catalog.bulk.session_lock import session_lock
from catalog.storage.transfers import AlreadySent, NoRoom, TooManyTransfers, spool_transfer
from collections_app.models import Collection, Status
from collections_app.selection.basket import read_basket
from medagg.accounts import services
from medagg.accounts.export import export_account
from medagg.accounts.forms import (
    ACCOUNT_CHANGED,
    NAME_TAKEN,
    AccountChanged,
    AddressForm,
    NewPasswordForm,
    OwnPasswordForm,
    PasswordForm,
    ResetForm,
    SignInForm,
    SignUpForm,
)
from medagg.accounts.links import VALID_DAYS, read_token, reset_tokens
from medagg.client_address import client_or_unknown
from medagg.models import WaitingAddress

logger = logging.getLogger(__name__)

BACKEND = "medagg.accounts.backends.NameOrAddressBackend"
NO_MAIL = (
    "The mail could not be sent, because a part of this server does not answer. "
    "Try again in a few minutes."
)
NO_LINK = (
    "The mail to confirm {address} could not be sent, because a part of this server does not "
    "answer. Ask for it again on your account page."
)
TOO_MANY_MAILS = (
    "No mail was sent to {address}: in the last hour as many were asked for as may be. Look for an "
    "earlier one there, or ask for another one later on your account page."
)
EXPORT_RUNS = "Your data are being written already. Wait for that file."
EXPORT_IS_SENT = (
    "Your data are being sent to you already. Wait for that file, or stop that download first."
)
NO_ROOM = (
    "The server's disk is full, so your data cannot be written as a file now. Try again later, or "
    "tell the operator."
)
BUSY = "The server sends as many files as it can. Try again in half a minute."
MAIL_COMES = (
    "A mail with a link to confirm {address} is on its way, unless three were asked for in this "
    "hour: then look for an earlier one there."
)
MAIL_IS_KEPT = (
    "{address} must be confirmed by a link. This server is not set up to send mail: ask the person "
    "who runs it for the link."
)

never_cached = method_decorator(never_cache, name="dispatch")


class SignInView(auth.LoginView):
    authentication_form = SignInForm
    redirect_authenticated_user = True


@method_decorator(sensitive_post_parameters(), name="dispatch")
@never_cached
class SignUpView(RedirectURLMixin, FormView):
    """Create an account and sign in; keeps ``next`` and the session."""

    template_name = "registration/signup.html"
    form_class = SignUpForm
    next_page = "collection-list"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        if not settings.REGISTRATION_OPEN:
            return render(request, "registration/signup_closed.html", status=403)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        address = form.cleaned_data["email"]
        try:
            user = services.sign_up(user=form.save(commit=False), address=address)
        except services.NameTaken:
            form.add_error("username", NAME_TAKEN)
            return self.form_invalid(form)
        if address:
            _ask_to_confirm(self.request, user, address)
        if not user.is_active:
            services.tell_operators()
            return render(self.request, "registration/signup_waiting.html", {"name": user})
        login(self.request, user, backend=BACKEND)
        return HttpResponseRedirect(self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        needs_approval = settings.REGISTRATION_NEEDS_APPROVAL
        return super().get_context_data(
            next=self.get_redirect_url(), needs_approval=needs_approval, **kwargs
        )


def _say_how(address: str) -> str:
    text = MAIL_COMES if settings.EMAIL_IS_CONFIGURED else MAIL_IS_KEPT
    return text.format(address=address)


def _ask_to_confirm(request: HttpRequest, user: Any, address: str) -> None:
    """The same answer whether another account has this address."""
    try:
        services.ask_to_confirm(user=user, client=client_or_unknown(request))
        messages.info(request, _say_how(address))
    except services.TooManyMails:
        messages.warning(request, TOO_MANY_MAILS.format(address=address))
    except services.MailNotQueued:
        messages.warning(request, NO_LINK.format(address=address))


@never_cached
class ResetView(FormView):
    """Ask for a link to set a new password; the answer is the same for each address."""

    template_name = "registration/password_reset_form.html"
    form_class = ResetForm
    success_url = reverse_lazy("password_reset_done")

    def form_valid(self, form: ResetForm) -> HttpResponse:
        try:
            services.ask_for_password(address=form.cleaned_data["email"])
        except services.MailNotQueued:
            form.add_error(None, NO_MAIL)
            return self.render_to_response(self.get_context_data(form=form), status=503)
        return super().form_valid(form)


class _SetsPassword:
    """Says so where the account was changed while the password was hashed."""

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().form_valid(form)  # type: ignore[misc]
        except AccountChanged:
            form.add_error(None, ACCOUNT_CHANGED)
            response = self.form_invalid(form)  # type: ignore[attr-defined]
        return response


class OwnPasswordView(_SetsPassword, auth.PasswordChangeView):
    form_class = OwnPasswordForm


class NewPasswordView(_SetsPassword, auth.PasswordResetConfirmView):
    form_class = NewPasswordForm
    token_generator = reset_tokens

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Django's makes a session before it looks at the method."""
        if request.method not in ("GET", "HEAD", "POST"):
            return self.http_method_not_allowed(request)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        services.unlock(user=form.user)
        return super().form_valid(form)


@never_cached
class AccountView(LoginRequiredMixin, TemplateView):
    template_name = "registration/account.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user: Any = self.request.user
        waiting = WaitingAddress.objects.filter(user=user).first()
        num_collections = Collection.objects.visible_to(user).count()
        return super().get_context_data(
            waiting=waiting,
            num_collections=num_collections,
            **kwargs,
        )


class _OwnForm(LoginRequiredMixin, FormView):
    """A form about the signed-in user, who is given to the form."""

    success_url = reverse_lazy("account")

    def get_form_kwargs(self) -> dict[str, Any]:
        return {"user": self.request.user, **super().get_form_kwargs()}


@method_decorator(sensitive_post_parameters(), name="dispatch")
@never_cached
class AddressView(_OwnForm):
    template_name = "registration/address.html"
    form_class = AddressForm

    def form_valid(self, form: Form) -> HttpResponse:
        address = form.cleaned_data["email"]
        user: Any = self.request.user
        if not services.change_address(user=user, address=address):
            form.add_error(None, "Your password was changed in this moment. Sign in and try again.")
            return self.form_invalid(form)
        if address:
            _ask_to_confirm(self.request, self.request.user, address)
        else:
            messages.success(self.request, "You have no address now.")
        return super().form_valid(form)


class AddressAgainView(LoginRequiredMixin, View):
    """Send the link to confirm the waiting address once more."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        waiting = WaitingAddress.objects.filter(user=request.user.pk).first()
        if waiting:
            _ask_to_confirm(request, request.user, waiting.address)
        return redirect("account")


@never_cached
class ConfirmView(TemplateView):
    """What a link in a mail opens: asks, and confirms by a button.

    Programs that look into mails open links too, and must not confirm by that.
    """

    template_name = "registration/confirm.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        waiting = read_token(kwargs["token"])
        return super().get_context_data(waiting=waiting, days=VALID_DAYS, **kwargs)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            user = services.confirm_address(token=token)
        except services.AddressTaken:
            return self._show(token, is_taken=True)
        if user is None:
            return self._show(token)
        messages.success(request, f"The address {user.email} is confirmed.")
        return redirect("account")

    def _show(self, token: str, **context: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(token=token, **context), status=410)


class ExportView(LoginRequiredMixin, View):
    """All that is kept of the user, as a JSON file."""

    def get(self, request: HttpRequest) -> HttpResponse | FileResponse:
        user: Any = request.user
        chunks = export_account(user, basket=read_basket(request))
        try:
            with session_lock(f"export of user {user.pk}") as is_only_one:
                if not is_only_one:
                    return _refuse_export(request, EXPORT_RUNS)
                transfer = spool_transfer(
                    settings.ARCHIVE_ROOT, chunks, one_for=f"export-{user.pk}"
                )
        except AlreadySent:
            return _refuse_export(request, EXPORT_IS_SENT)
        except TooManyTransfers:
            return _refuse_export(request, BUSY)
        except NoRoom as error:
            logger.error("an export could not be written: %s", error)
            return _refuse_export(request, NO_ROOM)
        response = FileResponse(transfer, content_type="application/json")
        response["Content-Length"] = str(transfer.length)
        name = f"medagg-account-{timezone.now():%Y-%m-%d}.json"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "private, no-store"
        return response


def _refuse_export(request: HttpRequest, why: str) -> HttpResponse:
    messages.error(request, why)
    return redirect("account")


@method_decorator(sensitive_post_parameters(), name="dispatch")
@never_cached
class DeleteView(_OwnForm):
    template_name = "registration/delete.html"
    form_class = PasswordForm

    def form_valid(self, form: Form) -> HttpResponse:
        user: Any = self.request.user
        name = user.get_username()
        try:
            services.delete_account(user=user)
        except services.LastAdministrator:
            form.add_error(
                None,
                "You are the only administrator, so this account cannot be deleted: nobody could "
                "look after the site. Make somebody else an administrator first.",
            )
            return self.form_invalid(form)
        logout(self.request)
        return render(self.request, "registration/deleted.html", {"name": name})

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user: Any = self.request.user
        mine = Collection.objects.visible_to(user)
        return super().get_context_data(
            num_collections=mine.count(),
            num_archives=mine.filter(status=Status.READY).count(),
            num_pending=mine.filter(status=Status.PENDING).count(),
            **kwargs,
        )
